#include "core/model/message.h"
#include "tests/api/routes/api_fixture.h"

namespace millrace::api {
namespace {

class ApiJobListTest : public ApiTest {
 protected:
  ApiJobListTest() {
    broker_.On(message::kListJobs, [](const nlohmann::json&) -> ScriptedBroker::Reply {
      return nlohmann::json{{"jobs", {JobInState("job_1", JobState::kQueued)}},
                            {"next_page_token", "more"}};
    });
  }
};

TEST_F(ApiJobListTest, ListsAPageOfJobs) {
  const RawReply reply = Get("/v1/jobs");
  ASSERT_EQ(reply.status, 200) << reply.body;
  const nlohmann::json page = Body(reply);
  EXPECT_EQ(page["next_page_token"], "more");
  ASSERT_EQ(page["jobs"].size(), 1u);
  EXPECT_EQ(page["jobs"][0]["links"]["self"], "/v1/jobs/job_1");
  EXPECT_EQ(broker_.Request(message::kListJobs), nlohmann::json::object());
}

TEST_F(ApiJobListTest, HandsEveryFilterToTheBroker) {
  const RawReply reply =
      Get("/v1/jobs?state=queued,running&state=dead&label=team%3Anews&label=kind%3Aa%3Ab"
          "&external_id=asset-42&created_after=2026-11-01T00%3A00%3A00Z"
          "&created_before=2026-11-02T00%3A00%3A00Z&order=asc&page_size=7&page_token=abc");
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(broker_.Request(message::kListJobs),
            (nlohmann::json{{"states", {"queued", "running", "dead"}},
                            {"labels", {{"team", "news"}, {"kind", "a:b"}}},
                            {"external_id", "asset-42"},
                            {"created_after", "2026-11-01T00:00:00Z"},
                            {"created_before", "2026-11-02T00:00:00Z"},
                            {"order", "asc"},
                            {"page_size", 7},
                            {"page_token", "abc"}}));
}

TEST_F(ApiJobListTest, NamesEachParameterThatIsWrong) {
  const std::pair<const char*, const char*> cases[] = {
      {"state=done", "/state"},
      {"state=", "/state"},
      {"label=team", "/label"},
      {"label=%3Anews", "/label"},
      {"created_after=now", "/created_after"},
      {"created_before=2026", "/created_before"},
      {"order=up", "/order"},
      {"page_size=0", "/page_size"},
      {"page_size=501", "/page_size"},
      {"page_size=ten", "/page_size"},
      {"page_size=1&page_size=2", "/page_size"},
      {"status=queued", "/status"},
  };
  for (const auto& [query, pointer] : cases) {
    SCOPED_TRACE(query);
    const RawReply reply = Get(std::string("/v1/jobs?") + query);
    ExpectProblem(reply, 400, "invalid_request");
    EXPECT_THAT(Pointers(reply), testing::ElementsAre(pointer));
  }
}

}  // namespace
}  // namespace millrace::api
