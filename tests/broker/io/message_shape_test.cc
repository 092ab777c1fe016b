#include "broker/io/message_shape.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "core/base/id.h"

namespace millrace::broker {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using Checker = std::function<void(const Message&)>;

// Complete messages, as docs/protocol.md has them.
std::vector<Message> ClientMessages() {
  const std::string job = NewJobId();
  const json object = json::object();
  return {
      {.type = "submit",
       .id = "1",
       .body = {{"job_id", job},
                {"request", object},
                {"input_facts", object},
                {"deadline_unix_ms", 5}}},
      {.type = "get_job", .id = "1", .body = {{"job_id", job}}},
      {.type = "list_jobs", .id = "1", .body = object},
      {.type = "cancel", .id = "1", .body = {{"job_id", job}}},
      {.type = "attempts", .id = "1", .body = {{"job_id", job}}},
      {.type = "probe",
       .id = "1",
       .body = {{"input", object}, {"input_name", ""}, {"deadline_unix_ms", 5}}},
      {.type = "queue", .id = "1", .body = object},
      {.type = "workers", .id = "1", .body = object},
      {.type = "ping", .id = "1", .body = object},
      {.type = "dead_letters", .id = "1", .body = object},
      {.type = "dead_letter_groups", .id = "1", .body = object},
      {.type = "get_dead_letter", .id = "1", .body = {{"job_id", job}}},
      {.type = "redrive", .id = "1", .body = {{"job_id", job}, {"generation", 1}}},
      {.type = "redrive_many",
       .id = "1",
       .body = {{"redrive_id", "rdr_1"}, {"filter", object}, {"canary", true}, {"dry_run", false}}},
      {.type = "get_redrive", .id = "1", .body = {{"redrive_id", "rdr_1"}}},
      {.type = "purge", .id = "1", .body = {{"job_id", job}}},
      {.type = "purge_many",
       .id = "1",
       .body = {{"purge_id", "p"}, {"filter", object}, {"dry_run", true}}},
      {.type = "events", .id = "1", .body = {{"job_id", job}, {"after", 0}, {"limit", 1}}}};
}

std::vector<Message> WorkerMessages() {
  const json object = json::object();
  const json lease = {{"task", "tsk_1"}, {"fence", 1}};
  json progress = lease;
  progress["progress"] = object;
  json report = lease;
  report["instance"] = "i";
  const auto with = [&report](std::initializer_list<std::pair<const char*, json>> fields) {
    json body = report;
    for (const auto& [name, value] : fields) body[name] = value;
    return body;
  };
  return {{.type = "register",
           .id = "1",
           .body = {{"instance", "i"},
                    {"name", "host/1"},
                    {"slots", 1},
                    {"probe_slots", 1},
                    {"encoders", {"h264"}},
                    {"cores", 2},
                    {"memory_bytes", 3},
                    {"labels", object},
                    {"versions", object},
                    {"running", {lease}}}},
          {.type = "beat",
           .id = "1",
           .body = {{"instance", "i"}, {"draining", false}, {"tasks", {progress}}}},
          {.type = "started", .id = "1", .body = report},
          {.type = "finished", .id = "1", .body = with({{"manifest", object}, {"usage", object}})},
          {.type = "failed", .id = "1", .body = with({{"failure", object}})},
          {.type = "released", .id = "1", .body = with({{"reason", "draining"}})},
          {.type = "probed", .id = "1", .body = {{"instance", "i"}, {"probe", "p"}}},
          {.type = "goodbye", .id = "1", .body = {{"instance", "i"}}}};
}

void ExpectRefused(const Checker& check, const Message& message, const std::string& naming) {
  try {
    check(message);
    ADD_FAILURE() << message.type << " " << message.body.dump() << " was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kProtocolError);
    EXPECT_THAT(error.what(), HasSubstr(naming));
  }
}

// Each field of each message is left out once, and given a value of no use once.
void ExpectEachFieldChecked(const Checker& check, const std::vector<Message>& messages) {
  for (const Message& message : messages) {
    EXPECT_NO_THROW(check(message)) << message.type;
    for (const auto& [name, value] : message.body.items()) {
      Message broken = message;
      broken.body.erase(name);
      ExpectRefused(check, broken, "'" + name + "' is missing");
      broken.body[name] = nullptr;
      ExpectRefused(check, broken, "'" + name + "' is missing");
      broken.body[name] = -1.5;
      ExpectRefused(check, broken, "'" + name + "' must be");
    }
    Message more = message;
    more.body["from_the_future"] = 1;
    EXPECT_NO_THROW(check(more)) << message.type;
  }
}

TEST(MessageShape, ChecksEachFieldOfEachClientMessage) {
  ExpectEachFieldChecked(CheckClientMessage, ClientMessages());
}

TEST(MessageShape, ChecksEachFieldOfEachWorkerMessage) {
  ExpectEachFieldChecked(CheckWorkerMessage, WorkerMessages());
}

TEST(MessageShape, KnowsTheTypesOfItsOwnDoorOnly) {
  ExpectRefused(CheckClientMessage, {.type = "beat", .id = "1", .body = json::object()}, "'beat'");
  ExpectRefused(CheckWorkerMessage, {.type = "submit", .id = "1", .body = json::object()},
                "'submit'");
  ExpectRefused(CheckWorkerMessage, {.type = "", .id = "1", .body = json::object()}, "''");
}

TEST(MessageShape, RefusesNumbersThatDoNotFit) {
  Message started = WorkerMessages().at(2);
  for (const json& fence : {json(-1), json(UINT64_MAX), json(1.0), json("1")}) {
    started.body["fence"] = fence;
    ExpectRefused(CheckWorkerMessage, started, "'fence'");
  }
}

TEST(MessageShape, RefusesADeadlineThatNoClockCanHold) {
  Message probe = ClientMessages().at(5);
  probe.body["deadline_unix_ms"] = int64_t{1} << 43;
  ExpectRefused(CheckClientMessage, probe, "'deadline_unix_ms'");
}

TEST(MessageShape, ChecksFieldsThatMayBeLeftOut) {
  const auto refuses = [](Message message, const char* field, const json& value) {
    message.body[field] = value;
    ExpectRefused(message.body.contains("instance") ? Checker(CheckWorkerMessage)
                                                    : Checker(CheckClientMessage),
                  message, "'" + std::string(field) + "'");
  };
  const std::vector<Message> messages = ClientMessages();
  const auto of = [&](std::string_view type) {
    return *std::ranges::find(messages, type, &Message::type);
  };
  refuses(of("submit"), "idempotency_key", "");
  refuses(of("submit"), "idempotency_key", std::string(257, 'x'));
  refuses(of("submit"), "fingerprint", 5);
  refuses(of("redrive"), "patch", json::array());
  refuses(of("redrive_many"), "patch", "x");
  refuses(of("purge_many"), "expected", -1);
  refuses(WorkerMessages().at(0), "running", {{{"task", "t"}, {"fence", 1}, {"progress", "half"}}});
}

TEST(MessageShape, LooksIntoTheFactsOfAnInput) {
  Message submit = ClientMessages().at(0);
  submit.body["input_facts"] = {{"name", "in.mov"}, {"bytes", 5}, {"sha256", "ab"}};
  EXPECT_NO_THROW(CheckClientMessage(submit));
  submit.body["input_facts"] = {{"name", 5}};
  ExpectRefused(CheckClientMessage, submit, "'input_facts'");
}

TEST(MessageShape, LooksIntoLists) {
  Message beat = WorkerMessages().at(1);
  for (const json& item : {json(1), json::object(), json({{"task", "t"}, {"fence", 1}}),
                           json({{"task", "t"}, {"fence", "1"}, {"progress", json::object()}})}) {
    beat.body["tasks"] = json::array({item});
    ExpectRefused(CheckWorkerMessage, beat, "'tasks'");
  }
  Message registration = WorkerMessages().at(0);
  registration.body["encoders"] = {1};
  ExpectRefused(CheckWorkerMessage, registration, "'encoders'");
}

TEST(MessageShape, RefusesAnIdThatNamesNoJob) {
  ExpectRefused(CheckClientMessage, {.type = "get_job", .id = "1", .body = {{"job_id", "../x"}}},
                "'job_id'");
}

}  // namespace
}  // namespace millrace::broker
