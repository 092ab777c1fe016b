#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/broker/broker_fixture.h"

namespace millrace::broker {
namespace {

using testing::HasSubstr;

// Frames that no decent peer sends: each is answered, and the broker goes on.
class BrokerProtocolTest : public BrokerTest {
 protected:
  void ExpectRefusal(ScriptedPeer& peer, const Frames& frames, const std::string& detail,
                     const std::string& id) {
    peer.SendFrames(frames);
    const Message reply = peer.Expect("error");
    EXPECT_EQ(reply.id, id);
    EXPECT_EQ(reply.body.at("code"), "protocol_error");
    EXPECT_THAT(reply.body.at("detail").get<std::string>(), HasSubstr(detail));
    EXPECT_EQ(ScriptedPeer(Endpoint("client")).Ask("ping", nlohmann::json::object()).type, "ok");
  }

  void ExpectAllRefused(ScriptedPeer& peer, const std::string& type) {
    ExpectRefusal(peer, {"MR1"}, "4 frames", "");
    ExpectRefusal(peer, {"MR1", type, "7", "{}", "more"}, "4 frames", "7");
    ExpectRefusal(peer, Frames(1000, "x"), "4 frames", "x");
    ExpectRefusal(peer, {"MR0", type, "7", "{}"}, "version", "7");
    ExpectRefusal(peer, {"MR1", "", "7", "{}"}, "type", "7");
    ExpectRefusal(peer, {"MR1", std::string(33, 't'), "7", "{}"}, "type", "7");
    ExpectRefusal(peer, {"MR1", type, std::string("\0\n", 2), "{}"}, "message id", "");
    ExpectRefusal(peer, {"MR1", type, std::string(65, '7'), "{}"}, "message id", "");
    ExpectRefusal(peer, {"MR1", type, "7", "{"}, "not JSON", "7");
    ExpectRefusal(peer, {"MR1", type, "7", "\"\xff\""}, "not JSON", "7");
    ExpectRefusal(peer, {"MR1", type, "7", "[]"}, "object", "7");
    ExpectRefusal(peer, {"MR1", type, "7", std::string(kMaxBodyBytes + 1, ' ')}, "bytes", "7");
    ExpectRefusal(peer, {"MR1", type, "7", std::string(1'000'000, '[')}, "deeper", "7");
    ExpectRefusal(peer, {"MR1", "make_tea", "7", "{}"}, "'make_tea'", "7");
  }
};

TEST_F(BrokerProtocolTest, AnswersEveryKindOfMalformedClientMessageAndGoesOn) {
  ScriptedPeer client(Endpoint("client"));
  ExpectAllRefused(client, "get_job");
  ExpectRefusal(client, {"MR1", "get_job", "7", "{}"}, "'job_id' is missing", "7");
  ExpectRefusal(client, {"MR1", "get_job", "7", R"({"job_id": 5})"}, "'job_id' must be", "7");
}

TEST_F(BrokerProtocolTest, AnswersEveryKindOfMalformedWorkerMessageAndGoesOn) {
  ScriptedPeer worker(Endpoint("worker"));
  ExpectAllRefused(worker, "beat");
  ExpectRefusal(worker, {"MR1", "goodbye", "7", "{}"}, "'instance' is missing", "7");
  ExpectRefusal(worker, {"MR1", "submit", "7", "{}"}, "'submit'", "7");
}

TEST_F(BrokerProtocolTest, RefusesASubmitWhoseRequestCannotBeRead) {
  ScriptedPeer client(Endpoint("client"));
  const Job job = samples::SmallJob();
  nlohmann::json body = SubmitBody(job);
  body["request"].erase("spec");
  EXPECT_EQ(client.Ask("submit", body).body.at("code"), "protocol_error");
  EXPECT_EQ(client.Ask("get_job", {{"job_id", job.id}}).body.at("code"), "job_not_found");
}

TEST_F(BrokerProtocolTest, RefusesAReportWhoseManifestLeavesItsFolder) {
  ScriptedPeer client(Endpoint("client"));
  ScriptedWorker worker(Endpoint("worker"), "host/1");
  worker.Register();
  const std::string job = SubmitJob(client);
  const Message assign = worker.Expect("assign");
  nlohmann::json body = MakeFiles(worker, assign);
  body["manifest"]["files"][0]["path"] = "../../escape";
  EXPECT_EQ(worker.Ask("finished", body).body.at("code"), "protocol_error");
  EXPECT_EQ(StateOf(client, job), "running");
}

TEST_F(BrokerProtocolTest, SurvivesAFrameThatIsTooLarge) {
  {
    ScriptedPeer giant(Endpoint("client"));
    giant.SendFrames({"MR1", "ping", "7", std::string(9 * 1024 * 1024, ' ')});
    // The connection is ended without an answer; a new one is made and works.
    EXPECT_EQ(giant.Ask("ping", nlohmann::json::object()).type, "ok");
  }
  ScriptedPeer client(Endpoint("client"));
  EXPECT_EQ(client.Ask("ping", nlohmann::json::object()).body.at("accepting"), true);
}

TEST_F(BrokerProtocolTest, TellsAnUnknownWorkerToRegister) {
  ScriptedWorker worker(Endpoint("worker"), "host/1");
  EXPECT_EQ(worker.Beat().type, "unknown_worker");
  EXPECT_EQ(worker.Register().type, "registered");
  EXPECT_EQ(worker.Beat().type, "orders");
}

}  // namespace
}  // namespace millrace::broker
