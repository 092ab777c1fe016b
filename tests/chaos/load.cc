#include "tests/chaos/load.h"

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <set>
#include <utility>

#include "tests/system/client.h"

namespace millrace::chaos {
namespace {

using harness::HttpAnswer;
using harness::HttpCall;
using nlohmann::json;
using namespace std::chrono_literals;

constexpr size_t kWatchers = 2;
constexpr auto kPatience = 10s;  // with any one answer

json RequestOf(const JobKind& kind, const std::string& key, const std::string& upload) {
  return {{"input", {{"upload", upload}}},
          {"outputs", kind.outputs},
          {"external_id", key},
          {"labels", {{"kind", kind.is_good() ? "good" : "bad"}}},
          {"max_attempts", 20}};
}

JobRecord KnownJob(const std::string& id, const std::string& key, const JobKind& kind,
                   const json& upload) {
  JobRecord known;
  known.id = id;
  known.key = key;
  known.kind = &kind;
  known.input_sha256 = upload.at("sha256");
  return known;
}

}  // namespace

Load::Load(LoadOptions options, const std::vector<JobKind>& kinds, Record& record)
    : options_(std::move(options)), kinds_(kinds), record_(record), busy_(options_.clients) {
  for (uint64_t i = 0; i < options_.clients; ++i) {
    threads_.emplace_back([this, i] {
      Guarded([&] { RunClient(i); });
      --busy_;
    });
  }
  for (uint64_t i = 0; i < kWatchers; ++i) {
    threads_.emplace_back([this, i] { Guarded([&] { RunWatcher(options_.clients + i); }); });
  }
  threads_.emplace_back([this] { Guarded([&] { RunFollower(options_.clients + kWatchers); }); });
}

Load::~Load() {
  submitting_ = false;
  ended_ = true;
  for (std::thread& thread : threads_) thread.join();
}

Load::Hands Load::MakeHands(uint64_t number) const {
  Hands hands{.apis = {}, .random = {}, .kinds = KindPicker(kinds_)};
  for (const std::string& url : options_.urls) hands.apis.emplace_back(url);
  hands.random.seed(options_.seed * 1000 + number);
  return hands;
}

void Load::RunClient(uint64_t number) {
  Hands hands = MakeHands(number);
  while (submitting_) {
    if (record_.open_count() >= options_.most_open) {
      Pause(20ms);
      continue;
    }
    const uint64_t job = next_++;
    if (job >= options_.most_jobs) break;
    SubmitOne(hands, options_.prefix + "-" + std::to_string(job));
  }
}

void Load::Guarded(const std::function<void()>& run) {
  try {
    run();
  } catch (const std::exception& error) {
    record_.Violated({"every answer can be understood", "", error.what()});
  }
}

void Load::SubmitOne(Hands& hands, const std::string& key) {
  const JobKind& kind = hands.kinds.Pick(hands.random);
  const json upload = UploadUntilTaken(hands, UniqueMedia(kind, key), kind.media.filename());
  if (upload.is_null()) return;
  const json body = RequestOf(kind, key, upload.at("id"));
  const json job = SubmitUntilTaken(hands, key, body);
  if (job.is_null()) return;
  const JobRecord known = KnownJob(job.at("id"), key, kind, upload);
  record_.Acknowledged(known, job);
  // Submit again, like a client that has forgotten its request.
  if (hands.random() % 8 == 0) {
    const json again = SubmitUntilTaken(hands, key, body);
    if (!again.is_null() && again.at("id") != known.id) {
      record_.Violated({"one key is one job", known.id, "and " + again.at("id").dump()});
    }
  }
  if (hands.random() % 20 == 0) MaybeCancel(hands, known.id);
}

json Load::UploadUntilTaken(Hands& hands, const std::string& media, const std::string& name) {
  while (!ended_) {
    size_t sent = 0;
    const HttpAnswer answer = hands.Any().Put(
        "/v1/uploads/" + harness::EscapeSegment(name), static_cast<int64_t>(media.size()),
        [&](std::span<char> block) {
          const size_t count = std::min(block.size(), media.size() - sent);
          std::copy_n(media.data() + sent, count, block.data());
          sent += count;
          return count;
        },
        kPatience);
    if (answer.status == 201) return answer.Json();
    CheckRefusal("PUT of an upload", answer);
    Pause(50ms);
  }
  return nullptr;
}

json Load::SubmitUntilTaken(Hands& hands, const std::string& key, const json& body,
                            StormProgress* progress) {
  while (!ended_) {
    const HttpAnswer answer =
        hands.Any().Send({.method = "POST",
                          .path = "/v1/jobs",
                          .headers = {"Content-Type: application/json", "Idempotency-Key: " + key},
                          .body = body.dump(),
                          .timeout = kPatience});
    if (answer.status == 202) return answer.Json();
    CheckRefusal("POST of " + key, answer);
    if (progress != nullptr) ++progress->unanswered;
    Pause(50ms);
  }
  return nullptr;
}

void Load::MaybeCancel(Hands& hands, const std::string& id) {
  Pause(std::chrono::milliseconds(hands.random() % 400));
  record_.CancelAsked(id);
  const HttpAnswer answer = hands.Any().Send(
      {.method = "POST", .path = "/v1/jobs/" + id + "/cancel", .timeout = kPatience});
  if (answer.status == 202) {
    record_.CancelAcknowledged(id);
  } else if (answer.status != 409) {
    CheckRefusal("cancel of " + id, answer);
  }
}

void Load::RunWatcher(uint64_t number) {
  Hands hands = MakeHands(number);
  while (!ended_) {
    const std::vector<std::string> open = record_.Open();
    for (size_t i = 0; i < open.size() && !ended_; ++i) {
      // Each job has a single watcher, so that its answers arrive in order.
      if (std::hash<std::string>()(open[i]) % kWatchers != number % kWatchers) continue;
      Look(hands, open[i], hands.random() % 50 == 0);
    }
    Pause(20ms);
  }
}

void Load::Look(Hands& hands, const std::string& id, bool wait) {
  HttpCall call = {.path = "/v1/jobs/" + id, .timeout = kPatience};
  if (wait) call.headers = {"Prefer: wait=1"};
  const HttpAnswer answer = hands.Any().Send(call);
  if (answer.status == 200) {
    record_.Seen(answer.Json());
  } else if (answer.status == 404) {
    record_.Lost(id);
  } else {
    CheckRefusal("GET of " + id, answer);
  }
}

void Load::CheckRefusal(const std::string& request, const HttpAnswer& answer) {
  if (answer.status == 0) return;  // the api has gone, or was frozen
  if (answer.status < 500) {
    record_.Violated(
        {"a right request is not refused for good", "",
         request + " was answered " + std::to_string(answer.status) + " " + answer.body});
  } else if (answer.status == 503 && answer.Header("retry-after").empty()) {
    record_.Violated({"503 says when to come again", "", request + ": " + answer.body});
  }
}

void Load::RunFollower(uint64_t number) {
  Hands hands = MakeHands(number);
  while (!ended_) {
    const std::vector<std::string> open = record_.Open();
    if (!open.empty()) Follow(hands, open[hands.random() % open.size()]);
    Pause(20ms);
  }
}

void Load::Follow(Hands& hands, const std::string& id) {
  std::vector<int64_t> events;
  while (!ended_) {
    HttpCall call = {.path = "/v1/jobs/" + id + "/events", .timeout = kPatience};
    if (!events.empty()) call.headers = {"Last-Event-ID: " + std::to_string(events.back())};
    std::string pending;
    call.on_body = [&](std::string_view piece) {
      pending += piece;
      for (size_t end = 0; (end = pending.find('\n')) != std::string::npos;) {
        if (pending.starts_with("id: ")) events.push_back(std::stoll(pending.substr(4, end - 4)));
        pending.erase(0, end + 1);
      }
      return !ended_.load();
    };
    const HttpAnswer answer = hands.Any().Send(call);
    // 204: the job had ended with the last event received.
    if (answer.status == 204) return record_.Followed(id, std::move(events));
    if (answer.status == 404) return record_.Lost(id);
    if (answer.status != 200) CheckRefusal("events of " + id, answer);
    Pause(20ms);
  }
}

std::shared_ptr<const StormProgress> Load::SubmitAtOnce(size_t times, size_t threads) {
  const std::string key = options_.prefix + "-storm-" + std::to_string(storms_++);
  auto progress = std::make_shared<StormProgress>();
  ++busy_;
  threads_.emplace_back([this, times, threads, key, progress] {
    Guarded([&] { RunStorm(times, threads, key, *progress); });
    progress->ended = true;
    --busy_;
  });
  return progress;
}

void Load::RunStorm(size_t times, size_t threads, const std::string& key, StormProgress& progress) {
  Hands hands = MakeHands(std::hash<std::string>()(key));
  const JobKind& kind = kinds_.front();
  const json upload = UploadUntilTaken(hands, UniqueMedia(kind, key), kind.media.filename());
  if (upload.is_null()) return;
  progress.begun = true;
  const json body = RequestOf(kind, key, upload.at("id"));
  Mutex mutex;
  std::map<std::string, json> taken;  // by id, as it was first shown
  std::vector<std::thread> crowd;
  for (size_t i = 0; i < threads; ++i) {
    crowd.emplace_back([&] {
      Guarded([&] {
        RunOneOfStorm(times / threads, key, body, progress, [&](const json& job) {
          const MutexLock lock(mutex);
          taken.try_emplace(job.at("id").get<std::string>(), job);
        });
      });
    });
  }
  for (std::thread& one : crowd) one.join();
  if (taken.empty()) return;
  const auto& [id, shown] = *taken.begin();
  if (taken.size() > 1) {
    record_.Violated(
        {"one key is one job", id, std::to_string(taken.size()) + " jobs came of " + key});
  }
  record_.Acknowledged(KnownJob(id, key, kind, upload), shown);
}

void Load::RunOneOfStorm(size_t times, const std::string& key, const json& body,
                         StormProgress& progress, const std::function<void(const json&)>& took) {
  Hands hands = MakeHands(std::hash<std::thread::id>()(std::this_thread::get_id()));
  for (size_t n = 0; n < times; ++n) {
    const json job = SubmitUntilTaken(hands, key, body, &progress);
    if (job.is_null()) return;
    took(job);
  }
}

void Load::Pause(std::chrono::milliseconds time) const {
  if (!ended_) poll(nullptr, 0, static_cast<int>(time.count()));
}

}  // namespace millrace::chaos
