#include "api/live/event_feed.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "api/reply/replies.h"
#include "core/base/json_text.h"
#include "core/model/messages/client.h"
#include "core/model/messages/client_replies.h"

namespace millrace::api {
namespace {

using WriteResult = http::BodyStream::WriteResult;

constexpr int kPageEvents = 500;
// Events are written together up to this size; many times smaller than the queue of a stream.
constexpr size_t kPieceBytes = 4096;
constexpr std::string_view kHeartbeat = ":\n\n";

// A limit of this server alone, like those of its connections: none of the codes of core.
http::Response TooManyStreams(size_t count) {
  return ServiceProblemHooks().on_problem(
      {.status = 503,
       .code = "too_many_streams",
       .detail = fmt::format("{} event streams are open already; try again", count),
       .retryable = true});
}

std::string ProgressFrame(const message::ProgressEvent& progress) {
  const nlohmann::json data = {{"percent", progress.percent},
                               {"phase", progress.phase},
                               {"generation", progress.generation}};
  return fmt::format("event: progress\ndata: {}\n\n", ToText(data));
}

}  // namespace

// The events of one read, formatted for the stream.
struct EventFeed::Page {
  struct Event {
    int64_t sequence = 0;
    std::string frame;
  };

  explicit Page(const message::EventsReply& reply) : ended(reply.ended) {
    for (const message::JobEvent& event : reply.events) {
      events.push_back({.sequence = event.seq,
                        .frame = fmt::format("id: {}\nevent: job\ndata: {}\n\n", event.seq,
                                             ToText(message::ToJson(event)))});
    }
  }

  bool HasBehind(int64_t after) const { return !events.empty() && events.back().sequence > after; }

  std::vector<Event> events;
  bool ended = false;
};

struct EventFeed::Stream {
  const Clock& clock;
  http::ResponderPtr responder;            // until the answer has begun,
  std::unique_ptr<http::BodyStream> body;  // and from then on
  std::string job_id;
  int64_t last = 0;   // the last event that was queued for the client
  bool full = false;  // nothing is read for it until the next round
  bool over = false;
  MonotonicTime last_written{};

  // Returns whether the client took the piece; if not, it is dropped.
  bool Write(std::string_view piece) {
    const WriteResult result = body->Write(piece);
    over = over || result == WriteResult::kClosed;
    if (result == WriteResult::kQueued) last_written = clock.Now();
    return result == WriteResult::kQueued;
  }
  bool WriteEvents(std::string_view piece, int64_t up_to) {
    if (!Write(piece)) {
      full = !over;
      return false;
    }
    last = up_to;
    return true;
  }
  void End() {
    if (body) body->End();
    over = true;
  }
  // Begins the answer. Afterwards there is a body, or the stream is over.
  void Begin(const Page& page) {
    const http::ResponderPtr answering = std::move(responder);
    if (page.ended && !page.HasBehind(last)) {
      answering->Send({.status = 204, .headers = {{"Cache-Control", "no-store"}}, .body = {}});
      over = true;
      return;
    }
    body = answering->BeginStream(200, {{"Content-Type", "text/event-stream"},
                                        {"Cache-Control", "no-store"},
                                        {"X-Accel-Buffering", "no"}});
    if (body == nullptr) over = true;
    if (body != nullptr && answering->request().is_head()) End();
    last_written = clock.Now();
  }
  void OnError(const Error& error) {
    if (responder) {
      responder->Send(ProblemResponse(error));
      over = true;
    } else if (error.code() == ErrorCode::kJobNotFound) {
      // It was removed meanwhile. A client that connects again is told so.
      End();
    }
  }
};

EventFeed::EventFeed(BrokerClient& broker, EventFeedOptions options, const Clock& clock)
    : broker_(broker), options_(options), clock_(clock) {
  broker_.Listen([this](const BrokerEvent& event) { OnEvent(event); });
}

EventFeed::~EventFeed() = default;

void EventFeed::Follow(http::ResponderPtr responder, std::string job_id, int64_t after) {
  auto stream = std::make_shared<Stream>(Stream{.clock = clock_,
                                                .responder = responder,
                                                .body = nullptr,
                                                .job_id = std::move(job_id),
                                                .last = after});
  broker_.Post([this, stream] { Join(stream); });
  responder->OnDisconnect(
      [this, gone = std::weak_ptr(stream)] { broker_.Post([this, gone] { Forget(gone); }); });
}

void EventFeed::EndAll() {
  broker_.Post([this] {
    ending_ = true;
    std::vector<std::string> ids;
    for (const auto& [id, job] : jobs_) {
      ids.push_back(id);
      for (const auto& stream : job.streams) {
        if (stream->body) stream->End();
      }
    }
    for (const std::string& id : ids) Sweep(id);
  });
}

void EventFeed::Join(const std::shared_ptr<Stream>& stream) {
  if (stream_count_ >= options_.max_streams) {
    stream->responder->Send(TooManyStreams(stream_count_));
    return;
  }
  ++stream_count_;
  jobs_[stream->job_id].streams.push_back(stream);
  // Read after it has joined, so that no event can fall in between.
  Read(stream->job_id);
  PlanRound();
}

void EventFeed::Forget(const std::weak_ptr<Stream>& gone) {
  const auto stream = gone.lock();
  if (stream == nullptr) return;
  stream->over = true;
  Sweep(stream->job_id);
}

void EventFeed::OnEvent(const BrokerEvent& event) {
  if (const auto* job = std::get_if<message::JobEvent>(&event)) {
    const auto found = jobs_.find(job->job);
    if (found == jobs_.end()) return;
    found->second.progress.clear();  // of the state that has just ended
    Read(found->first);
  } else if (const auto* progress = std::get_if<message::ProgressEvent>(&event)) {
    OnProgress(*progress);
  } else {
    PlanToCatchUp();
  }
}

void EventFeed::OnProgress(const message::ProgressEvent& progress) {
  const auto found = jobs_.find(progress.job);
  if (found == jobs_.end()) return;
  Followed& job = found->second;
  job.progress = ProgressFrame(progress);
  if (job.reading) return;  // the transitions that were published before it go first
  SendProgress(job);
  Sweep(found->first);
}

void EventFeed::Read(const std::string& job_id) {
  const auto found = jobs_.find(job_id);
  if (found == jobs_.end()) return;
  Followed& job = found->second;
  if (job.reading) {
    job.changed_meanwhile = true;
    return;
  }
  std::optional<int64_t> after;
  for (const auto& stream : job.streams) {
    if (!stream->full) after = std::min(after.value_or(stream->last), stream->last);
  }
  if (!after) return;
  job.reading = true;
  ++reads_;
  broker_.Call(
      message::Events{.job_id = job_id, .after = *after, .limit = kPageEvents},
      [this, job_id, after = *after](const BrokerReply& reply) { OnRead(job_id, after, reply); });
}

void EventFeed::OnRead(const std::string& job_id, int64_t after, const BrokerReply& reply) {
  --reads_;
  const auto found = jobs_.find(job_id);
  if (found == jobs_.end()) return;
  Followed& job = found->second;
  job.reading = false;
  bool again = std::exchange(job.changed_meanwhile, false);
  if (const auto* error = std::get_if<Error>(&reply)) {
    for (const auto& stream : job.streams) stream->OnError(*error);
    // News of this job, and perhaps of others, was missed.
    if (error->code() != ErrorCode::kJobNotFound) PlanToCatchUp();
  } else {
    const Page page(ReadReply<message::EventsReply>(std::get<nlohmann::json>(reply)));
    again = again || page.events.size() >= static_cast<size_t>(kPageEvents);
    for (const auto& stream : job.streams) {
      // To one that came meanwhile, from further behind, the page would be a gap.
      if (stream->last >= after) Deliver(*stream, page);
    }
    if (!again) SendProgress(job);
  }
  if (Sweep(job_id) && again) Read(job_id);
}

void EventFeed::Deliver(Stream& stream, const Page& page) const {
  if (stream.over) return;
  if (stream.body == nullptr) stream.Begin(page);
  if (stream.over) return;
  std::string piece;
  int64_t up_to = stream.last;
  for (const Page::Event& event : page.events) {
    if (event.sequence <= up_to) continue;
    piece += event.frame;
    up_to = event.sequence;
    if (piece.size() < kPieceBytes) continue;
    if (!stream.WriteEvents(piece, up_to)) break;
    piece.clear();
  }
  const bool has_all =
      !stream.full && !stream.over && (piece.empty() || stream.WriteEvents(piece, up_to));
  if (ending_ || (page.ended && has_all)) stream.End();
}

void EventFeed::SendProgress(Followed& job) {
  if (job.progress.empty()) return;
  for (const auto& stream : job.streams) {
    if (stream->body && !stream->full && !stream->over) stream->Write(job.progress);
  }
  job.progress.clear();
}

bool EventFeed::Sweep(const std::string& job_id) {
  const auto found = jobs_.find(job_id);
  if (found == jobs_.end()) return false;
  Followed& job = found->second;
  stream_count_ -= std::erase_if(job.streams, [](const auto& stream) { return stream->over; });
  if (!job.streams.empty()) return true;
  if (!job.reading) jobs_.erase(found);
  return false;
}

void EventFeed::PlanRound() {
  if (std::exchange(round_planned_, true)) return;
  broker_.After(options_.reread, [this] { Round(); });
}

void EventFeed::Round() {
  round_planned_ = false;
  if (jobs_.empty()) return;
  const MonotonicTime now = clock_.Now();
  std::vector<std::string> ids;
  std::vector<std::string> slow;  // each has something that it could not take
  for (const auto& [id, job] : jobs_) {
    ids.push_back(id);
    bool was_full = false;
    for (const auto& stream : job.streams) {
      was_full = std::exchange(stream->full, false) || was_full;
      if (stream->body && now - stream->last_written >= options_.heartbeat) {
        stream->Write(kHeartbeat);
      }
    }
    if (was_full && slow.size() < options_.slice) slow.push_back(id);
  }
  for (const std::string& id : ids) Sweep(id);
  ReadSlice();
  for (const std::string& id : slow) {
    const auto found = jobs_.find(id);
    if (found != jobs_.end() && !found->second.reading) Read(id);
  }
  PlanRound();
}

void EventFeed::PlanToCatchUp() {
  rereading_.Hurry();
  PlanNextSlice();
}

void EventFeed::PlanNextSlice() {
  if (jobs_.empty() || std::exchange(slice_planned_, true)) return;
  broker_.After(options_.catch_up, [this] {
    slice_planned_ = false;
    ReadSlice();
  });
}

void EventFeed::ReadSlice() {
  const size_t more = options_.slice - std::min(options_.slice, reads_);
  for (const std::string& id : rereading_.Next(jobs_, more)) Read(id);
  if (rereading_.IsInAHurry()) PlanNextSlice();
}

}  // namespace millrace::api
