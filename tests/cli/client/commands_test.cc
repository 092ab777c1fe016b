// Commands against a fake service: their requests, output and exit status.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/files.h"
#include "core/base/sha256.h"
#include "tests/cli/client/commands_fixture.h"

namespace millrace::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string HashOf(const std::string& text) {
  Sha256 hash;
  hash.Add(text);
  return hash.Finish();
}

TEST_F(CommandsTest, WrongUsageExitsWithTwo) {
  EXPECT_EQ(RunMillrace({}).status, 2);
  EXPECT_EQ(RunMillrace({"no-such-command"}).status, 2);
  EXPECT_EQ(RunMillrace({"show"}).status, 2);
  EXPECT_EQ(RunMillrace({"jobs", "--no-such-option"}).status, 2);
  EXPECT_EQ(RunMillrace({"jobs", "--url", "ftp://x"}).status, 2);
  EXPECT_EQ(RunMillrace({"submit", MakeFile("a.mp4", "abc")}).status, 2);
}

TEST_F(CommandsTest, HelpListsTheExitStatuses) {
  const ProgramResult result = RunMillrace({"--help"});
  EXPECT_EQ(result.status, 0);
  for (const char* line : {"0  success", "1  a job is dead or was cancelled", "2  wrong usage",
                           "3  no such", "4  the service cannot be reached"}) {
    EXPECT_THAT(result.out, HasSubstr(line));
  }
}

TEST_F(CommandsTest, AnUnreachableServiceExitsWithFour) {
  uint16_t free_port = 0;
  {
    const FakeHttpServer gone([](const FakeHttpRequest&) { return FakeHttpReply{}; });
    free_port = gone.port();
  }
  const ProgramResult result =
      RunMillrace({"jobs", "--url", "http://127.0.0.1:" + std::to_string(free_port)});
  EXPECT_EQ(result.status, 4);
  EXPECT_THAT(result.err, HasSubstr("cannot be reached"));
  EXPECT_THAT(result.err, HasSubstr("'millrace up' starts it"));
}

TEST_F(CommandsTest, AServiceWithoutItsBrokerExitsWithFour) {
  const ProgramResult result = Run({"queue"}, [](const FakeHttpRequest&) {
    return Problem(Error(ErrorCode::kBrokerUnavailable, "the broker does not answer"));
  });
  EXPECT_EQ(result.status, 4);
  EXPECT_EQ(result.err, "millrace: the broker does not answer (broker_unavailable)\n");
}

TEST_F(CommandsTest, AnEdgeWithoutAServiceBehindItExitsWithFour) {
  const ProgramResult result = Run({"queue"}, [](const FakeHttpRequest&) {
    return Json(503, {{"code", "api_unavailable"},
                      {"status", 503},
                      {"blame", "service"},
                      {"detail", "no API answers"}});
  });
  EXPECT_EQ(result.status, 4);
  EXPECT_EQ(result.err, "millrace: no API answers (api_unavailable)\n");
}

TEST_F(CommandsTest, AMissingJobExitsWithThree) {
  const ProgramResult result = Run({"show", "job_x"}, [](const FakeHttpRequest&) {
    return Problem(Error(ErrorCode::kJobNotFound, "there is no job job_x"));
  });
  EXPECT_EQ(result.status, 3);
  EXPECT_EQ(result.err, "millrace: there is no job job_x (job_not_found)\n");
}

TEST_F(CommandsTest, AMissingFileExitsWithThree) {
  const ProgramResult result = Run({"submit", "/no/such/file.mp4", "--preset", "p"},
                                   [](const FakeHttpRequest&) { return FakeHttpReply{}; });
  EXPECT_EQ(result.status, 3);
  EXPECT_EQ(result.err, "millrace: cannot read /no/such/file.mp4: No such file or directory\n");
  EXPECT_TRUE(requests_.empty());
}

TEST_F(CommandsTest, NamesEachWrongFieldOfARefusedRequest) {
  const ProgramResult result =
      Run({"submit", "upl_1", "--preset", "p", "--priority", "900"}, [](const FakeHttpRequest&) {
        return Problem(Error({{"/priority", "must be at most 100"}, {"/outputs/0", "no preset"}}));
      });
  EXPECT_EQ(result.status, 2);
  EXPECT_EQ(result.err,
            "millrace: The request is not valid (invalid_request)\n"
            "  /priority: must be at most 100\n"
            "  /outputs/0: no preset\n");
}

TEST_F(CommandsTest, SubmitUploadsAndPrintsOnlyTheJobsId) {
  const ProgramResult result = Run(
      {"submit", MakeFile("my film.mp4", "abc"), "--preset", "mp4-h264-720p", "--output",
       "small=mp4-h264-360p", "--poster", "--priority", "70", "--label", "team=news",
       "--external-id", "x-1", "--start", "1.5"},
      [](const FakeHttpRequest& request) {
        return request.method == "PUT" ? Json(201, {{"id", "upl_1"}}) : Json(202, JobIn("queued"));
      });
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.out, "job_01\n");
  ASSERT_EQ(requests_.size(), 2);
  EXPECT_EQ(requests_[0].target, "/v1/uploads/my%20film.mp4");
  EXPECT_EQ(requests_[0].body, "abc");
  EXPECT_EQ(requests_[1].headers["content-type"], "application/json");
  EXPECT_EQ(json::parse(requests_[1].body),
            json({{"input", {{"upload", "upl_1"}}},
                  {"outputs",
                   {{{"name", "mp4-h264-720p"}, {"preset", "mp4-h264-720p"}},
                    {{"name", "small"}, {"preset", "mp4-h264-360p"}},
                    {{"name", "poster"}, {"preset", "poster"}}}},
                  {"priority", 70},
                  {"labels", {{"team", "news"}}},
                  {"external_id", "x-1"},
                  {"clip", {{"start_seconds", 1.5}}}}));
}

TEST_F(CommandsTest, SubmitWithWaitPrintsWhyAJobDiedAndExitsWithOne) {
  const ProgramResult result =
      Run({"submit", "upl_1", "--preset", "p", "--wait"}, [](const FakeHttpRequest& request) {
        if (request.method == "POST") return Json(202, JobIn("queued"));
        json job = JobIn("dead");
        job["error"] = ProblemJson(Error(ErrorCode::kCorruptMedia, "the index is missing"));
        return Json(200, job);
      });
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.out, HasSubstr("job_01 (a.mp4) failed: the index is missing\n"));
  EXPECT_THAT(result.out, HasSubstr("corrupt_media, blame: media; another try cannot help"));
}

TEST_F(CommandsTest, WatchFollowsAJobThroughLongPollsWithItsEtag) {
  int asked = 0;
  const ProgramResult result = Run({"watch", kJobId}, [&asked](const FakeHttpRequest& request) {
    FakeHttpReply reply = Json(200, JobIn(asked == 0 ? "queued" : "succeeded"));
    reply.headers = {"ETag: \"" + std::to_string(asked) + "\""};
    if (asked > 0) reply.headers.push_back("Preference-Applied: wait=30");
    if (asked == 1) {
      EXPECT_EQ(request.headers.at("if-none-match"), "\"0\"");
      EXPECT_EQ(request.headers.at("prefer"), "wait=30");
      reply = {304, "", {"Preference-Applied: wait=30", "ETag: \"0\""}};
    }
    ++asked;
    return reply;
  });
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(requests_.size(), 3);
  EXPECT_EQ(result.out, "a.mp4: 0% queued\na.mp4: 100% succeeded\njob_01 (a.mp4) succeeded\n");
}

TEST_F(CommandsTest, WatchPollsAServiceWithoutLongPolls) {
  int asked = 0;
  const ProgramResult result = Run({"watch", kJobId, "--json"}, [&asked](const FakeHttpRequest&) {
    return Json(200, JobIn(++asked < 3 ? "running" : "cancelled"));
  });
  EXPECT_EQ(result.status, 1);
  EXPECT_EQ(json::parse(result.out).at("state"), "cancelled");
}

TEST_F(CommandsTest, WatchSurvivesAShortOutage) {
  int asked = 0;
  const ProgramResult result = Run({"watch", kJobId}, [&asked](const FakeHttpRequest&) {
    ++asked;
    if (asked == 2) return Problem(Error(ErrorCode::kBrokerUnavailable, "no broker"));
    return Json(200, JobIn(asked == 1 ? "running" : "succeeded"));
  });
  EXPECT_EQ(result.status, 0);
  EXPECT_THAT(result.out, HasSubstr("(the service does not answer)"));
}

TEST_F(CommandsTest, WatchExitsWithTheWorstStatus) {
  const ProgramResult result =
      Run({"watch", "job_01", "job_02"}, [](const FakeHttpRequest& request) {
        json job = JobIn(request.target.ends_with("job_02") ? "cancelled" : "succeeded");
        job["id"] = request.target.substr(request.target.rfind('/') + 1);
        return Json(200, job);
      });
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.out, HasSubstr("job_01 (a.mp4) succeeded"));
  EXPECT_THAT(result.out, HasSubstr("job_02 (a.mp4) cancelled"));
}

TEST_F(CommandsTest, JobsReadsAllPages) {
  const ProgramResult result =
      Run({"jobs", "--state", "dead", "--state", "cancelled", "--label", "a=b:c", "--limit", "3"},
          [](const FakeHttpRequest& request) {
            const bool first = request.target.find("page_token") == std::string::npos;
            return Json(200, {{"jobs", {JobIn("dead")}}, {"next_page_token", first ? "t=1" : ""}});
          });
  EXPECT_EQ(result.status, 0);
  ASSERT_EQ(requests_.size(), 2);
  EXPECT_EQ(requests_[0].target, "/v1/jobs?page_size=3&state=dead&state=cancelled&label=a%3Ab%3Ac");
  EXPECT_THAT(requests_[1].target, HasSubstr("page_size=2"));
  EXPECT_THAT(requests_[1].target, HasSubstr("page_token=t%3D1"));
  EXPECT_THAT(result.out, HasSubstr("job_01  dead"));
}

TEST_F(CommandsTest, CancelOfAFinishedJobExitsWithOne) {
  const ProgramResult result = Run({"cancel", kJobId}, [](const FakeHttpRequest&) {
    return Problem(Error(ErrorCode::kJobFinished, "job_01 has succeeded"));
  });
  EXPECT_EQ(result.status, 1);
  EXPECT_EQ(requests_[0].target, "/v1/jobs/job_01/cancel");
}

TEST_F(CommandsTest, ProbePrintsTheStreamsOfAFile) {
  const ProgramResult result =
      Run({"probe", MakeFile("a.mp4", "abc")}, [](const FakeHttpRequest& request) {
        if (request.method == "PUT") return Json(201, {{"id", "upl_1"}});
        EXPECT_EQ(request.body, R"({"input":{"upload":"upl_1"}})");
        return Json(200, {{"media",
                           {{"format_name", "QuickTime / MOV"},
                            {"duration_seconds", 2.5},
                            {"streams",
                             {{{"index", 0},
                               {"kind", "video"},
                               {"codec", "h264"},
                               {"width", 640},
                               {"height", 360},
                               {"fps", 25}},
                              {{"index", 1},
                               {"kind", "audio"},
                               {"codec", "aac"},
                               {"channels", 2},
                               {"sample_rate", 48000}}}}}}});
      });
  EXPECT_EQ(result.status, 0);
  EXPECT_THAT(result.out, HasSubstr("stream 0    video h264 640x360 25 fps\n"));
  EXPECT_THAT(result.out, HasSubstr("stream 1    audio aac 2 ch 48000 Hz\n"));
}

class DownloadTest : public CommandsTest {
 protected:
  static json JobWithFile(const std::string& path, const std::string& sha256) {
    json job = JobIn("succeeded");
    job["outputs"] = {
        {{"name", "web"}, {"files", {{{"path", path}, {"bytes", 4}, {"sha256", sha256}}}}}};
    return job;
  }

  ProgramResult Download(const json& job) {
    return Run({"download", kJobId, (dir_.path() / "out").string()},
               [job](const FakeHttpRequest& request) {
                 if (request.target == "/v1/jobs/job_01") return Json(200, job);
                 return FakeHttpReply{200, "data", {}};
               });
  }
};

TEST_F(DownloadTest, FetchesAndChecksEachFile) {
  const ProgramResult result = Download(JobWithFile("a b.mp4", HashOf("data")));
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(requests_[1].target, "/v1/jobs/job_01/outputs/a%20b.mp4");
  EXPECT_EQ(ReadWholeFile(dir_.path() / "out" / "a b.mp4"), "data");
}

TEST_F(DownloadTest, RemovesAFileOfTheWrongSizeOrHash) {
  const ProgramResult result = Download(JobWithFile("a.mp4", HashOf("other")));
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err, HasSubstr("not what the service has promised"));
  EXPECT_TRUE(std::filesystem::is_empty(dir_.path() / "out"));
}

TEST_F(DownloadTest, NeverWritesOutsideItsFolder) {
  for (const char* path : {"../evil", "/tmp/evil", "a/../../evil", ""}) {
    const ProgramResult result = Download(JobWithFile(path, HashOf("data")));
    EXPECT_EQ(result.status, 1) << path;
    EXPECT_EQ(requests_.size(), 1) << path;
  }
}

TEST_F(DownloadTest, OfAJobWithoutOutputsExitsWithThree) {
  EXPECT_EQ(Download(JobIn("running")).status, 3);
}

TEST_F(CommandsTest, NamesADeadLetterFolderOnThisMachine) {
  const std::filesystem::path letter = dir_.path() / "dead-letter" / kJobId;
  std::filesystem::create_directories(letter);
  setenv("MILLRACE_DATA_DIR", dir_.path().c_str(), 1);
  const ProgramResult result = Run({"watch", kJobId}, [](const FakeHttpRequest&) {
    json job = JobIn("dead");
    job["error"] = ProblemJson(Error(ErrorCode::kNoStreams, "nothing in it"));
    return Json(200, job);
  });
  unsetenv("MILLRACE_DATA_DIR");
  EXPECT_THAT(result.out, HasSubstr(letter.string()));
}

}  // namespace
}  // namespace millrace::cli
