#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "core/base/id.h"
#include "core/model/messages/client.h"
#include "core/model/messages/client_replies.h"
#include "core/model/messages/events.h"
#include "core/model/messages/worker.h"
#include "core/model/messages/worker_orders.h"

namespace millrace::message {
namespace {

using nlohmann::json;
using testing::HasSubstr;

// A body with every field, as docs/protocol.md has it.
struct Sample {
  std::string name;
  json body;
  std::set<std::string> optional;        // fields that may be left out
  std::function<json(json)> read_again;  // reads a body and writes it
};

template <WholeBody T>
Sample SampleOf(std::string name, json body, std::set<std::string> optional = {}) {
  return {.name = std::move(name),
          .body = std::move(body),
          .optional = std::move(optional),
          .read_again = [](json from) { return ToJson(Read<T>(std::move(from))); }};
}

const json kSomething = {{"any", "thing"}};
const json kJobId = "job_0123456789abcdef0123456789abcdef";
const json kLease = {{"task", "tsk_1"}, {"fence", 7}};

json Lease(std::initializer_list<std::pair<const char*, json>> more) {
  json body = kLease;
  for (const auto& [name, value] : more) body[name] = value;
  return body;
}

json SomeProgress() {
  Progress progress{.percent = 40, .phase = "transcoding", .frames = 12};
  progress.outputs = {{"video", 40}};
  return millrace::ToJson(progress);
}

std::vector<Sample> Requests() {
  return {
      SampleOf<Submit>("submit",
                       {{"job_id", kJobId},
                        {"request", kSomething},
                        {"input_facts", {{"name", "in.mov"}, {"bytes", 5}, {"sha256", nullptr}}},
                        {"deadline_unix_ms", 5},
                        {"idempotency_key", "k"},
                        {"fingerprint", "f"}},
                       {"idempotency_key", "fingerprint"}),
      SampleOf<GetJob>("get_job", {{"job_id", kJobId}}),
      SampleOf<Cancel>("cancel", {{"job_id", kJobId}}),
      SampleOf<Attempts>("attempts", {{"job_id", kJobId}}),
      SampleOf<GetDeadLetter>("get_dead_letter", {{"job_id", kJobId}}),
      SampleOf<Purge>("purge", {{"job_id", kJobId}}),
      SampleOf<Events>("events", {{"job_id", kJobId}, {"after", 3}, {"limit", 500}}),
      SampleOf<Probe>("probe",
                      {{"input", kSomething}, {"input_name", "in.mov"}, {"deadline_unix_ms", 5}}),
      SampleOf<Queue>("queue", json::object()),
      SampleOf<Workers>("workers", json::object()),
      SampleOf<Ping>("ping", json::object()),
      SampleOf<Redrive>("redrive", {{"job_id", kJobId}, {"generation", 2}, {"patch", kSomething}},
                        {"patch"}),
      SampleOf<RedriveMany>("redrive_many",
                            {{"redrive_id", "rdr_1"},
                             {"filter", kSomething},
                             {"canary", true},
                             {"dry_run", true},
                             {"patch", kSomething}},
                            {"patch"}),
      SampleOf<GetRedrive>("get_redrive", {{"redrive_id", "rdr_1"}}),
      SampleOf<PurgeMany>(
          "purge_many",
          {{"purge_id", "prg_1"}, {"filter", kSomething}, {"dry_run", true}, {"expected", 12}},
          {"expected"})};
}

std::vector<Sample> Replies() {
  const json event = {{"seq", 9},          {"job", kJobId},
                      {"generation", 1},   {"event", "publish"},
                      {"state", "queued"}, {"at", "2026-11-23T20:28:37.042Z"}};
  return {
      SampleOf<JobReply>("ok", {{"job", kSomething}}),
      SampleOf<GetJobReply>("ok", {{"job", kSomething}, {"published_fence", 4}}),
      SampleOf<ListJobsReply>("ok", {{"jobs", {kSomething}}, {"next_page_token", "t"}}),
      SampleOf<AttemptsReply>("ok", {{"attempts", {kSomething}}}),
      SampleOf<EventsReply>("ok", {{"events", {event}}, {"ended", true}}),
      SampleOf<ProbeReply>("ok", {{"media", kSomething}}),
      SampleOf<DeadLettersReply>("ok", {{"dead_letters", {kSomething}}, {"next_page_token", "t"}}),
      SampleOf<DeadLetterGroupsReply>("ok", {{"groups", {kSomething}}}),
      SampleOf<DeadLetterReply>("ok", {{"dead_letter", kSomething}}),
      SampleOf<GetRedriveReply>("ok", {{"redrive", kSomething}}),
      SampleOf<PurgeManyReply>("ok", {{"count", 3}}),
      SampleOf<Pong>("ok", {{"version", "1"}, {"accepting", true}, {"reason", "none"}})};
}

std::vector<Sample> WorkerMessages() {
  return {
      SampleOf<Register>("register",
                         {{"instance", "i"},
                          {"name", "host/1"},
                          {"slots", 1},
                          {"probe_slots", 1},
                          {"encoders", {"h264"}},
                          {"cores", 2},
                          {"memory_bytes", 3},
                          {"labels", kSomething},
                          {"versions", kSomething},
                          {"running", {kLease, Lease({{"progress", SomeProgress()}})}}}),
      SampleOf<Beat>("beat",
                     {{"instance", "i"},
                      {"draining", true},
                      {"tasks", {Lease({{"progress", SomeProgress()}, {"media", kSomething}})}}}),
      SampleOf<Started>("started", Lease({{"instance", "i"}})),
      SampleOf<Finished>(
          "finished", Lease({{"instance", "i"}, {"manifest", kSomething}, {"usage", kSomething}})),
      SampleOf<Failed>("failed",
                       Lease({{"instance", "i"}, {"failure", kSomething}, {"media", kSomething}}),
                       {"media"}),
      SampleOf<Released>("released", Lease({{"instance", "i"}, {"reason", "draining"}})),
      SampleOf<Probed>(
          "probed",
          {{"instance", "i"}, {"probe", "prb_1"}, {"media", kSomething}, {"error", kSomething}},
          {"media", "error"}),
      SampleOf<Goodbye>("goodbye", {{"instance", "i"}})};
}

std::vector<Sample> WorkerOrders() {
  return {
      SampleOf<Registered>("registered",
                           {{"lease_seconds", 30.5}, {"beat_seconds", 5.0}, {"lost", {kLease}}}),
      SampleOf<Orders>("orders", {{"cancel", {kLease}}, {"lost", {kLease}}}),
      SampleOf<Assign>("assign",
                       Lease({{"job", "job_1"},
                              {"attempt", 2},
                              {"input", kSomething},
                              {"input_name", "in.mov"},
                              {"spec", kSomething}}),
                       {"input_name"}),
      SampleOf<CancelOrder>("cancel", kLease),
      SampleOf<ProbeOrder>(
          "probe",
          {{"probe", "prb_1"}, {"input", kSomething}, {"input_name", "in.mov"}, {"deadline_ms", 5}},
          {"input_name"}),
      SampleOf<Ack>("ack", kLease, {"task", "fence"}),
      SampleOf<LeaseLost>("lease_lost", kLease),
      SampleOf<UnknownWorker>("unknown_worker", json::object())};
}

std::vector<Sample> PublishedEvents() {
  return {
      SampleOf<JobEvent>("job", {{"seq", 9},
                                 {"job", kJobId},
                                 {"generation", 1},
                                 {"event", "publish"},
                                 {"state", "publishing"},
                                 {"at", "2026-11-23T20:28:37.042Z"}}),
      SampleOf<ProgressEvent>(
          "progress", {{"job", kJobId}, {"generation", 1}, {"percent", 40}, {"phase", "probing"}}),
      SampleOf<DeadLetterEvent>("dead-letter", {{"seq", 9},
                                                {"job", kJobId},
                                                {"generation", 1},
                                                {"event", "arrived"},
                                                {"code", "no_streams"},
                                                {"signature", "abc"},
                                                {"at", "2026-11-23T20:28:37.042Z"}}),
      SampleOf<WorkerEvent>(
          "worker", {{"worker", "host/1"}, {"event", "lost"}, {"at", "2026-11-23T20:28:37.042Z"}})};
}

std::vector<Sample> Samples() {
  std::vector<Sample> samples;
  for (auto part : {Requests(), Replies(), WorkerMessages(), WorkerOrders(), PublishedEvents()}) {
    std::ranges::move(part, std::back_inserter(samples));
  }
  return samples;
}

void ExpectRefused(const Sample& sample, const json& body, const std::string& naming) {
  try {
    sample.read_again(body);
    ADD_FAILURE() << sample.name << " " << body.dump() << " was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kProtocolError);
    EXPECT_THAT(error.what(), HasSubstr(sample.name + ": the field '" + naming));
  }
}

TEST(Bodies, AreReadAsTheyWereWritten) {
  for (const Sample& sample : Samples()) EXPECT_EQ(sample.read_again(sample.body), sample.body);
}

TEST(Bodies, AreReadWithoutTheirOptionalFields) {
  for (const Sample& sample : Samples()) {
    json least = sample.body;
    for (const std::string& field : sample.optional) least.erase(field);
    EXPECT_EQ(sample.read_again(least), least) << sample.name;
    json nulls = sample.body;
    for (const std::string& field : sample.optional) nulls[field] = nullptr;
    EXPECT_EQ(sample.read_again(nulls), least) << sample.name;
  }
}

TEST(Bodies, AreRefusedWithoutARequiredField) {
  for (const Sample& sample : Samples()) {
    for (const auto& [field, value] : sample.body.items()) {
      if (sample.optional.contains(field)) continue;
      json body = sample.body;
      body[field] = nullptr;
      ExpectRefused(sample, body, field + "' is missing");
      body.erase(field);
      ExpectRefused(sample, body, field + "' is missing");
    }
  }
}

// Each field is given one value of each type of JSON that is not its own.
TEST(Bodies, AreRefusedWithAFieldOfAnotherType) {
  for (const Sample& sample : Samples()) {
    for (const auto& [field, value] : sample.body.items()) {
      for (const json& wrong :
           {json(-1.5), json(true), json("text"), json({1}), json({{"x", 1}})}) {
        if (wrong.type() == value.type() || (wrong.is_number() && value.is_number_float()))
          continue;
        json body = sample.body;
        body[field] = wrong;
        ExpectRefused(sample, body, field + "' must be");
      }
    }
  }
}

TEST(Bodies, AreReadWithFieldsThatTheyDoNotKnow) {
  for (const Sample& sample : Samples()) {
    json body = sample.body;
    body["from_the_future"] = 1;
    EXPECT_EQ(sample.read_again(body), sample.body) << sample.name;
  }
}

TEST(Bodies, OfFiltersAreTheFilters) {
  const json filter = {{"state", "open"}};
  EXPECT_EQ(Read<ListJobs>(filter).filter, filter);
  EXPECT_EQ(Write(DeadLetters{{.filter = filter}}, "1").body, filter);
  EXPECT_EQ(Write(DeadLetterGroups{}, "1").body, json::object());
}

TEST(Bodies, SayThatARedriveHasFoundNothing) {
  const json nothing = {{"count", 0}, {"redrive", nullptr}};
  EXPECT_EQ(ToJson(Read<RedriveManyReply>(nothing)), nothing);
}

TEST(Bodies, AreWrittenIntoAMessageOfTheirType) {
  const Message message = Write(GetJob{{.job_id = kJobId}}, "17");
  EXPECT_EQ(message.type, "get_job");
  EXPECT_EQ(message.id, "17");
  EXPECT_EQ(message.body, json({{"job_id", kJobId}}));
}

TEST(Bodies, AreRefusedWithAWrongItemInAList) {
  json beat = {{"instance", "i"}, {"draining", false}};
  for (const json& item : {json(1), json::object(), kLease,
                           json({{"task", ""}, {"fence", 1}, {"progress", SomeProgress()}}),
                           json({{"task", "t"}, {"fence", "1"}, {"progress", SomeProgress()}})}) {
    beat["tasks"] = json::array({Lease({{"progress", SomeProgress()}}), item});
    try {
      Read<Beat>(beat);
      ADD_FAILURE() << item << " was accepted";
    } catch (const Error& error) {
      EXPECT_STREQ(error.what(),
                   "beat: the field 'tasks' must be a list of objects with task, fence and "
                   "progress");
    }
  }
}

TEST(Bodies, AreRefusedWithProgressThatIsNone) {
  const json beat = {{"instance", "i"},
                     {"draining", false},
                     {"tasks", {Lease({{"progress", {{"percent", "half"}}}})}}};
  EXPECT_THROW(Read<Beat>(beat), Error);
}

TEST(Bodies, KeepToTheLimitsOfTheirFields) {
  struct Limit {
    Kind kind;
    json most;
    json more;
  };
  for (const auto& [kind, most, more] : std::vector<Limit>{
           {Kind::kName, std::string(256, 'x'), std::string(257, 'x')},
           {Kind::kName, "x", ""},
           {Kind::kText, std::string(4096, 'x'), std::string(4097, 'x')},
           {Kind::kText, "", 5},
           {Kind::kFence, INT64_MAX, UINT64_MAX},
           {Kind::kFence, 0, -1},
           {Kind::kFence, 1, 1.0},
           {Kind::kSmall, 65'535, 65'536},
           {Kind::kCount, int64_t{1} << 53, (int64_t{1} << 53) + 1},
           {Kind::kTime, int64_t{1} << 42, (int64_t{1} << 42) + 1},
           {Kind::kJobId, NewJobId(), "../x"},
           {Kind::kFacts, json::object(), {{"bytes", -1}}},
           {Kind::kFacts, {{"name", nullptr}}, {{"name", 5}}},
           {Kind::kTexts, json::array(), {"h264", ""}},
       }) {
    EXPECT_EQ(Complaint(most, kind), "") << most.dump().substr(0, 40);
    EXPECT_THAT(std::string(Complaint(more, kind)), HasSubstr("must be"))
        << more.dump().substr(0, 40);
  }
}

}  // namespace
}  // namespace millrace::message
