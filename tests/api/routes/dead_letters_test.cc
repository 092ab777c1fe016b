#include <future>

#include "tests/api/routes/dead_letter_fixture.h"

// The queue of dead letters and one of them, as JSON; what is purged.

namespace millrace::api {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

class ApiDeadLettersTest : public DeadLetterTest {
 protected:
  ApiDeadLettersTest() {
    broker_.On(message::kDeadLetters, [this](const nlohmann::json&) -> ScriptedBroker::Reply {
      return nlohmann::json{{"dead_letters", {Letter(id_)}}, {"next_page_token", "more"}};
    });
    broker_.On(message::kDeadLetterGroups, [this](const nlohmann::json&) -> ScriptedBroker::Reply {
      return nlohmann::json{{"groups",
                             {{{"signature", "5d4c6e8f0a1b2c3d"},
                               {"signature_text", "corrupt_media in decode"},
                               {"code", "corrupt_media"},
                               {"blame", "media"},
                               {"count", 500},
                               {"inputs", 480},
                               {"first_at", "2026-11-23T20:28:37.042Z"},
                               {"last_at", "2026-11-24T20:28:37.042Z"},
                               {"example_job", id_}}}}};
    });
    broker_.On(message::kPurge, [](const nlohmann::json& body) -> ScriptedBroker::Reply {
      return nlohmann::json{{"dead_letter", Letter(body.at("job_id"), "purged")}};
    });
    broker_.On(message::kPing, [](const nlohmann::json&) -> ScriptedBroker::Reply {
      return nlohmann::json{{"version", "1"}, {"accepting", true}, {"reason", ""}};
    });
    BrokerPurges(12);
  }
  void BrokerPurges(int count) {
    broker_.On(message::kPurgeMany, [=](const nlohmann::json&) -> ScriptedBroker::Reply {
      return nlohmann::json{{"count", count}};
    });
  }
  // Fills the job's folder as a broker does.
  void Bury(int generation = 2) {
    std::filesystem::create_directories(folder_);
    std::ofstream(folder_ / "report.json") << nlohmann::json{
        {"version", 2}, {"job", id_}, {"generation", generation}, {"error", {{"code", "x"}}}};
    std::ofstream(folder_ / "log-7.txt") << "seven";
  }

  const std::filesystem::path folder_ = options_.media.data_dir / "dead-letter" / id_;
};

TEST_F(ApiDeadLettersTest, ListsTheQueueWithLinks) {
  const RawReply reply = Get("/v1/dead-letters");
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(broker_.Request(message::kDeadLetters), nlohmann::json::object());
  nlohmann::json letter = Letter(id_);
  letter["links"] = {{"self", path_},
                     {"log", path_ + "/log"},
                     {"input", path_ + "/input"},
                     {"redrive", path_ + "/redrive"},
                     {"job", "/v1/jobs/" + id_}};
  EXPECT_EQ(Body(reply), (nlohmann::json{{"dead_letters", {letter}}, {"next_page_token", "more"}}));
}

TEST_F(ApiDeadLettersTest, PassesEveryFilterOn) {
  ASSERT_EQ(Get("/v1/dead-letters?state=any&code=stalled&blame=media&signature=5d&stage=decode"
                "&worker=host%2F1&died_after=2026-11-23T00:00:00Z&died_before=2026-11-24T00:00:00Z"
                "&page_size=500&page_token=abc")
                .status,
            200);
  EXPECT_EQ(broker_.Request(message::kDeadLetters),
            (nlohmann::json{{"state", "any"},
                            {"code", "stalled"},
                            {"blame", "media"},
                            {"signature", "5d"},
                            {"stage", "decode"},
                            {"worker", "host/1"},
                            {"died_after", "2026-11-23T00:00:00Z"},
                            {"died_before", "2026-11-24T00:00:00Z"},
                            {"page_size", 500},
                            {"page_token", "abc"}}));
}

TEST_F(ApiDeadLettersTest, NamesEveryWrongParameter) {
  const RawReply reply =
      Get("/v1/dead-letters?state=dead&code=stale&blame=me&signature=&died_after=now&page_size=0"
          "&group_by=worker&colour=red");
  ExpectProblem(reply, 400, "invalid_request");
  EXPECT_THAT(Pointers(reply),
              UnorderedElementsAre("/state", "/code", "/blame", "/signature", "/died_after",
                                   "/page_size", "/group_by", "/colour"));
  EXPECT_TRUE(broker_.Requests(message::kDeadLetters).empty());
}

TEST_F(ApiDeadLettersTest, GroupsByWhatFailuresHaveInCommon) {
  const RawReply reply = Get("/v1/dead-letters?group_by=signature&state=any&worker=host%2F1%26");
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(broker_.Request(message::kDeadLetterGroups),
            (nlohmann::json{{"state", "any"}, {"worker", "host/1&"}}));
  const nlohmann::json group = Body(reply)["groups"][0];
  EXPECT_EQ(group["count"], 500);
  EXPECT_EQ(group["example_job"], id_);
  // The letters that were counted, and no others.
  EXPECT_EQ(group["links"]["dead_letters"],
            "/v1/dead-letters?signature=5d4c6e8f0a1b2c3d&state=any&worker=host/1%26");
}

TEST_F(ApiDeadLettersTest, HasNoPagesOfGroups) {
  const RawReply reply = Get("/v1/dead-letters?group_by=signature&page_size=5&page_token=x");
  ExpectProblem(reply, 400, "invalid_request");
  EXPECT_THAT(Pointers(reply), UnorderedElementsAre("/page_size", "/page_token"));
}

TEST_F(ApiDeadLettersTest, ShowsALetterWithItsReportAndFiles) {
  Bury();
  const RawReply reply = Get(path_);
  ASSERT_EQ(reply.status, 200) << reply.body;
  const nlohmann::json letter = Body(reply);
  EXPECT_EQ(letter["code"], "corrupt_media");
  EXPECT_EQ(letter["report"]["error"]["code"], "x");
  EXPECT_EQ(
      letter["files"][0],
      (nlohmann::json{{"name", "log-7.txt"}, {"bytes", 5}, {"url", path_ + "/files/log-7.txt"}}));
  EXPECT_EQ(letter["files"][1]["name"], "report.json");
  EXPECT_EQ(letter["files"].size(), 2u);
}

TEST_F(ApiDeadLettersTest, ShowsTheLetterAlthoughItsFolderIsGone) {
  const nlohmann::json letter = Body(Get(path_));
  EXPECT_EQ(letter["state"], "open");
  EXPECT_TRUE(letter["report"].is_null());
  EXPECT_EQ(letter["files"], nlohmann::json::array());
}

TEST_F(ApiDeadLettersTest, ShowsTheTombstoneOfWhatWasPurgedWhileItsFolderIsStillBeingRemoved) {
  Bury();
  BrokerShows("purged");
  const nlohmann::json letter = Body(Get(path_));
  EXPECT_EQ(letter["state"], "purged");
  EXPECT_TRUE(letter["report"].is_null());
  EXPECT_EQ(letter["files"], nlohmann::json::array());
  EXPECT_EQ(letter["links"], (nlohmann::json{{"self", path_}, {"job", "/v1/jobs/" + id_}}));
}

TEST_F(ApiDeadLettersTest, OffersNoRedriveOfWhatHasBeenRedriven) {
  Bury();
  BrokerShows("redriven");
  const nlohmann::json letter = Body(Get(path_));
  EXPECT_FALSE(letter["links"].contains("redrive"));
  EXPECT_TRUE(letter["links"].contains("log")) << "its folder stays until the job has ended";
  EXPECT_TRUE(letter["report"].is_object());
}

TEST_F(ApiDeadLettersTest, ShowsNothingOfAnotherGeneration) {
  Bury(3);
  BrokerShows("redriven");
  const nlohmann::json letter = Body(Get(path_));
  EXPECT_TRUE(letter["report"].is_null());
  EXPECT_EQ(letter["files"], nlohmann::json::array());
  EXPECT_FALSE(letter["links"].contains("log"));
}

TEST_F(ApiDeadLettersTest, OffersNoFilesOfARedrivenLetterWhoseFolderIsGone) {
  BrokerShows("redriven");
  const nlohmann::json links = {{"self", path_}, {"job", "/v1/jobs/" + id_}};
  EXPECT_EQ(Body(Get(path_))["links"], links);
  broker_.On(message::kDeadLetters, [this](const nlohmann::json&) -> ScriptedBroker::Reply {
    return nlohmann::json{{"dead_letters", {Letter(id_, "redriven"), Letter(NewJobId())}},
                          {"next_page_token", ""}};
  });
  const nlohmann::json gone = Body(Get("/v1/dead-letters?state=any"))["dead_letters"];
  EXPECT_EQ(gone[0]["links"], links);
  EXPECT_TRUE(gone[1]["links"].contains("log"));
  Bury();
  const nlohmann::json there = Body(Get("/v1/dead-letters?state=any"))["dead_letters"];
  EXPECT_TRUE(there[0]["links"].contains("log"));
  EXPECT_TRUE(there[0]["links"].contains("input"));
}

TEST_F(ApiDeadLettersTest, ShowsTheLetterAlthoughItsReportIsDamaged) {
  Bury();
  for (const char* text : {"{\"version\": 2, ", "[]", "", R"({"job": 5, "generation": "x"})"}) {
    std::ofstream(folder_ / "report.json") << text;
    const RawReply reply = Get(path_);
    EXPECT_EQ(reply.status, 200) << text << reply.body;
    EXPECT_TRUE(Body(reply)["report"].is_null()) << text;
  }
}

TEST_F(ApiDeadLettersTest, ListsNothingThatIsNoFileOfItsOwn) {
  Bury();
  std::filesystem::create_symlink("/etc/passwd", folder_ / "passwd");
  std::filesystem::create_directory(folder_ / "out");
  std::ofstream(folder_ / ".hidden") << "x";
  EXPECT_EQ(Body(Get(path_))["files"].size(), 2u);
  std::filesystem::rename(folder_, folder_.string() + "-elsewhere");
  std::filesystem::create_directory_symlink(folder_.string() + "-elsewhere", folder_);
  EXPECT_EQ(Body(Get(path_))["files"], nlohmann::json::array());
}

TEST_F(ApiDeadLettersTest, PassesOnThatThereIsNoSuchLetter) {
  BrokerRefuses(message::kGetDeadLetter, ErrorCode::kDeadLetterNotFound);
  ExpectProblem(Get(path_), 404, "dead_letter_not_found");
  for (const char* id : {"job_1", "..", "%2E%2E", "job_%2F..%2F..%2Fuploads"}) {
    const RawReply reply = Get(std::string("/v1/dead-letters/") + id);
    EXPECT_TRUE(reply.status == 404 || reply.status == 400) << id << reply.body;
  }
  ExpectProblem(Get(path_ + "?verbose=1"), 400, "invalid_request");
}

TEST_F(ApiDeadLettersTest, PurgesALetter) {
  const RawReply reply = Delete(path_);
  EXPECT_EQ(reply.status, 204) << reply.body;
  EXPECT_EQ(reply.body, "");
  EXPECT_EQ(broker_.Request(message::kPurge), (nlohmann::json{{"job_id", id_}}));
  ExpectProblem(Delete(path_, "{}"), 400, "invalid_request");
  ExpectProblem(Delete("/v1/dead-letters/job_1"), 404, "dead_letter_not_found");
  BrokerRefuses(message::kPurge, ErrorCode::kDeadLetterNotFound);
  ExpectProblem(Delete(path_), 404, "dead_letter_not_found");
}

TEST_F(ApiDeadLettersTest, CountsFirstAndPurgesWhatWasCounted) {
  const nlohmann::json filter = {{"code", "stalled"}, {"died_before", "2026-11-24T00:00:00Z"}};
  const RawReply counted = Post("/v1/dead-letters/purge", {{"filter", filter}, {"dry_run", true}});
  EXPECT_EQ(counted.status, 200);
  EXPECT_EQ(Body(counted), (nlohmann::json{{"count", 12}}));
  const nlohmann::json dry = broker_.Request(message::kPurgeMany);
  EXPECT_EQ(dry["filter"], filter);
  EXPECT_EQ(dry["dry_run"], true);
  EXPECT_FALSE(dry.contains("expected"));

  const RawReply purged = Post("/v1/dead-letters/purge", {{"filter", filter}, {"expected", 12}});
  EXPECT_EQ(purged.status, 200);
  EXPECT_EQ(Body(purged), (nlohmann::json{{"count", 12}}));
  const nlohmann::json wet = broker_.Request(message::kPurgeMany, 2);
  EXPECT_EQ(wet["dry_run"], false);
  EXPECT_EQ(wet["expected"], 12);
  EXPECT_NE(wet["purge_id"], dry["purge_id"]);
}

TEST_F(ApiDeadLettersTest, TellsInADryRunThatTheCountHasChanged) {
  ExpectProblem(Post("/v1/dead-letters/purge",
                     {{"filter", nlohmann::json::object()}, {"dry_run", true}, {"expected", 11}}),
                412, "precondition_failed");
  BrokerRefuses(message::kPurgeMany, ErrorCode::kPreconditionFailed);
  ExpectProblem(
      Post("/v1/dead-letters/purge", {{"filter", nlohmann::json::object()}, {"expected", 11}}), 412,
      "precondition_failed");
}

TEST_F(ApiDeadLettersTest, PurgesOnceUnderOneKey) {
  const nlohmann::json body = {{"filter", nlohmann::json::object()}, {"expected", 12}};
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(Post("/v1/dead-letters/purge", body, "Idempotency-Key: a\r\n").status, 200);
  }
  EXPECT_EQ(Post("/v1/dead-letters/purge", body, "Idempotency-Key: b\r\n").status, 200);
  const auto id = [&](size_t nth) { return broker_.Request(message::kPurgeMany, nth)["purge_id"]; };
  EXPECT_EQ(id(1), id(2));
  EXPECT_NE(id(1), id(3));
}

TEST_F(ApiDeadLettersTest, PurgesNothingThatWasNotAskedFor) {
  struct Case {
    nlohmann::json body;
    std::vector<std::string> complaints;
  };
  const Case cases[] = {
      {{{"expected", 1}}, {"/filter"}},
      {{{"filter", nullptr}, {"expected", 1}}, {"/filter"}},
      {{{"filter", "all"}, {"expected", 1}}, {"/filter"}},
      {{{"filter", nlohmann::json::object()}}, {"/expected"}},
      {{{"filter", nlohmann::json::object()}, {"expected", -1}}, {"/expected"}},
      {{{"filter", {{"code", nullptr}}}, {"expected", 1}}, {"/filter/code"}},
      {{{"filter", {{"state", "any"}}}, {"expected", 1}}, {"/filter/state"}},
      {{{"filter", {{"code", "stale"}, {"died_after", "now"}}}, {"dry_run", "yes"}},
       {"/filter/code", "/filter/died_after", "/dry_run", "/expected"}},
  };
  for (const Case& wrong : cases) {
    const RawReply reply = Post("/v1/dead-letters/purge", wrong.body);
    SCOPED_TRACE(wrong.body.dump());
    ExpectProblem(reply, 400, "invalid_request");
    EXPECT_THAT(Pointers(reply), testing::UnorderedElementsAreArray(wrong.complaints));
  }
  EXPECT_TRUE(broker_.Requests(message::kPurgeMany).empty());
}

TEST_F(ApiDeadLettersTest, WaitsForABrokerThatIsBusyWithManyLettersAndAsksItOnce) {
  std::promise<void> ready;
  const std::shared_future<void> is_ready = ready.get_future().share();
  broker_.On(message::kPurgeMany, [is_ready](const nlohmann::json&) -> ScriptedBroker::Reply {
    is_ready.wait_for(ScriptedBroker::kPatience);
    return nlohmann::json{{"count", 10'000}};
  });
  RawHttpClient client = Connect();
  client.Send(PostText("/v1/dead-letters/purge", R"({"filter": {}, "expected": 10000})"));
  broker_.Request(message::kPurgeMany);
  // It is silent for longer than a broker may be that does nothing.
  ExpectProblem(Get("/v1/dead-letters"), 503, "broker_unavailable");
  ready.set_value();
  const RawReply reply = client.ReadReply();
  EXPECT_EQ(reply.status, 200) << reply.body;
  // By now it has answered everything that was queued.
  EXPECT_EQ(Get("/v1/dead-letters").status, 200);
  EXPECT_EQ(broker_.Requests(message::kPurgeMany).size(), 1u);
}

TEST_F(ApiDeadLettersTest, SaysAtOnceThatTheBrokerIsAway) {
  broker_.Stop();
  for (const RawReply& reply :
       {Get("/v1/dead-letters"), Get("/v1/dead-letters?group_by=signature"), Get(path_),
        Delete(path_),
        Post("/v1/dead-letters/purge", {{"filter", nlohmann::json::object()}, {"expected", 1}})}) {
    ExpectProblem(reply, 503, "broker_unavailable");
  }
}

}  // namespace
}  // namespace millrace::api
