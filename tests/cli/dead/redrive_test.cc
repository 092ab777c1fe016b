// `millrace dead redrive` and `millrace dead purge`.

#include <gmock/gmock.h>

#include "tests/cli/dead/fixture.h"
#include "tests/cli/show/terminal_program.h"

namespace millrace::cli {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;

json RedrivenJob(const std::string& id, const std::string& state) {
  json job = JobIn(state);
  job["id"] = id;
  job["generation"] = 3;
  if (state == "dead") {
    job["error"] = ProblemJson(Error(ErrorCode::kCorruptMedia, "it is still damaged"));
  }
  return job;
}

std::string LastPart(const std::string& target) { return target.substr(target.rfind('/') + 1); }

class RedriveTest : public CommandsTest {
 protected:
  // Serves a queue with these open letters. Their jobs succeed in generation 3, except job_bad.
  static FakeHttpReply Queue(const FakeHttpRequest& request, const std::vector<std::string>& ids) {
    const std::string& target = request.target;
    if (target == "/v1/dead-letters/redrive") return Many(json::parse(request.body), ids);
    if (target.starts_with("/v1/redrives/")) {
      return Json(200,
                  {{"id", "rdr_1"}, {"state", "released"}, {"canary", ids[0]}, {"waiting", 0}});
    }
    if (target.starts_with("/v1/dead-letters?")) {
      json letters = json::array();
      for (const std::string& id : ids) letters.push_back(LetterOf(id));
      return Json(200, {{"dead_letters", letters}, {"next_page_token", ""}});
    }
    if (target.starts_with("/v1/jobs/")) {
      const std::string id = LastPart(target);
      return Json(200, RedrivenJob(id, id == "job_bad" ? "dead" : "succeeded"));
    }
    if (request.method == "GET") return Json(200, WholeLetterOf(LastPart(target)));
    const std::string self = target.substr(0, target.rfind('/'));
    return Json(202, RedrivenJob(LastPart(self), "queued"));
  }

  static FakeHttpReply Many(const json& body, const std::vector<std::string>& ids) {
    if (body.value("dry_run", false)) return Json(200, {{"count", ids.size()}});
    const bool canary = body.value("canary", false);
    return Json(202, {{"count", ids.size()},
                      {"redrive",
                       {{"id", "rdr_1"},
                        {"state", canary ? "waiting" : "released"},
                        {"canary", canary ? json(ids[0]) : json()},
                        {"waiting", canary ? ids.size() - 1 : 0}}}});
  }

  ProgramResult RunOn(const std::vector<std::string>& ids, std::vector<std::string> arguments) {
    return Run(std::move(arguments),
               [ids](const FakeHttpRequest& request) { return Queue(request, ids); });
  }
};

TEST_F(RedriveTest, RedriveNamesTheDeadGeneration) {
  const ProgramResult result =
      RunOn({kJobId}, {"dead", "redrive", kJobId, "--spec", R"({"clip":null})"});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.out, "job_01 queued, generation 3\n");
  ASSERT_EQ(requests_.size(), 2);
  EXPECT_EQ(requests_[1].method, "POST");
  EXPECT_EQ(requests_[1].target, "/v1/dead-letters/job_01/redrive");
  EXPECT_EQ(requests_[1].body, R"({"generation":2,"spec":{"clip":null}})");
}

TEST_F(RedriveTest, DoesNotRedriveAClosedLetter) {
  const ProgramResult result = Run({"dead", "redrive", kJobId}, [](const FakeHttpRequest&) {
    json letter = WholeLetterOf(kJobId);
    letter["state"] = "redriven";
    return Json(200, letter);
  });
  EXPECT_EQ(result.status, 3);
  EXPECT_EQ(requests_.size(), 1);
  EXPECT_EQ(result.err, "millrace: the dead letter of job job_01 has left the queue: redriven\n");
}

TEST_F(RedriveTest, RepeatsARequestWhoseAnswerIsLost) {
  int posts = 0;
  const ProgramResult result =
      Run({"dead", "redrive", kJobId}, [&posts](const FakeHttpRequest& request) {
        if (request.method == "POST" && ++posts == 1) return FakeHttpReply{0, "", {}};
        return Queue(request, {kJobId});
      });
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(posts, 2);
  EXPECT_EQ(result.out, "job_01 queued, generation 3\n");
}

TEST_F(RedriveTest, ReadsTheSpecFromAFileAndRefusesOtherJson) {
  const std::string file = MakeFile("patch.json", R"({"clip": {"start_seconds": 2}})");
  EXPECT_EQ(RunOn({kJobId}, {"dead", "redrive", kJobId, "--spec", "@" + file}).status, 0);
  EXPECT_EQ(json::parse(requests_.at(1).body).at("spec"), json({{"clip", {{"start_seconds", 2}}}}));
  for (const char* wrong : {"[]", "{", "null", "clip"}) {
    const ProgramResult result = RunOn({kJobId}, {"dead", "redrive", kJobId, "--spec", wrong});
    EXPECT_EQ(result.status, 2) << wrong;
    EXPECT_TRUE(requests_.empty()) << wrong;
  }
}

TEST_F(RedriveTest, RedrivesTheOthersAfterOneRefusal) {
  const ProgramResult result =
      Run({"dead", "redrive", "job_x", kJobId}, [](const FakeHttpRequest& request) {
        if (request.target.ends_with("job_x")) {
          return Problem(Error(ErrorCode::kDeadLetterNotFound, "there is no job job_x"));
        }
        return Queue(request, {kJobId});
      });
  EXPECT_EQ(result.status, 3);
  EXPECT_EQ(result.out, "job_01 queued, generation 3\n");
  EXPECT_EQ(result.err, "millrace: there is no job job_x (dead_letter_not_found)\n");
}

TEST_F(RedriveTest, PrintsWhatWasRedrivenBeforeTheServiceFailed) {
  const auto answer = [](const FakeHttpRequest& request) {
    if (!request.target.ends_with("job_02") && !request.target.ends_with("job_02/redrive")) {
      if (request.method == "DELETE") return FakeHttpReply{204, "", {}};
      return Queue(request, {"job_01"});
    }
    FakeHttpReply reply = Problem(Error(ErrorCode::kBrokerUnavailable, "the broker is away"));
    reply.headers = {"Retry-After: 900"};
    return reply;
  };
  for (const std::vector<std::string>& more :
       std::vector<std::vector<std::string>>{{}, {"--wait"}}) {
    std::vector<std::string> arguments = {"dead",   "redrive", "job_01",
                                          "job_02", "job_03",  "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const ProgramResult redriven = Run(arguments, answer);
    EXPECT_EQ(redriven.status, 4);
    ASSERT_FALSE(redriven.out.empty()) << redriven.err;
    EXPECT_EQ(json::parse(redriven.out).at("jobs").at(0).at("id"), "job_01");
    EXPECT_THAT(redriven.err, HasSubstr("the broker is away"));
  }
  const ProgramResult purged =
      Run({"dead", "purge", "job_01", "job_02", "job_03", "--json"}, answer);
  EXPECT_EQ(purged.status, 4);
  EXPECT_EQ(json::parse(purged.out), json({{"purged", {"job_01"}}}));
}

TEST_F(RedriveTest, WaitPrintsHowTheJobsEnded) {
  const ProgramResult result = RunOn({}, {"dead", "redrive", "job_01", "job_bad", "--wait"});
  EXPECT_EQ(result.status, 1);
  EXPECT_EQ(result.out,
            "job_bad (a.mp4) failed: it is still damaged\n"
            "  reason      corrupt_media, blame: media; another try cannot help\n"
            "  for more: millrace dead show job_bad\n"
            "1 of 2 succeeded\n");
}

TEST_F(RedriveTest, JobsAndConditionsTogetherOrNeitherExitWithTwo) {
  for (const std::vector<std::string>& wrong :
       std::vector<std::vector<std::string>>{{},
                                             {kJobId, "--all"},
                                             {kJobId, "--code", "stalled"},
                                             {kJobId, "--canary"},
                                             {kJobId, "--dry-run"},
                                             {"--all", "--code", "stalled", "--yes"}}) {
    std::vector<std::string> arguments = {"dead", "redrive"};
    arguments.insert(arguments.end(), wrong.begin(), wrong.end());
    EXPECT_EQ(RunOn({kJobId}, arguments).status, 2);
    EXPECT_TRUE(requests_.empty());
  }
}

TEST_F(RedriveTest, WithoutATerminalManyNeedYes) {
  const ProgramResult result = RunOn({kJobId}, {"dead", "redrive", "--all"});
  EXPECT_EQ(result.status, 2);
  EXPECT_TRUE(requests_.empty());
  EXPECT_EQ(result.err,
            "millrace: this needs a terminal to confirm; count with --dry-run, then add --yes to "
            "redrive\n");
}

TEST_F(RedriveTest, DryRunOnlyCounts) {
  const ProgramResult result =
      RunOn({"job_01", "job_02"}, {"dead", "redrive", "--code", "stalled", "--dry-run"});
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.out, "2 dead letters would be redriven\n");
  ASSERT_EQ(requests_.size(), 1);
  EXPECT_EQ(requests_[0].body, R"({"dry_run":true,"filter":{"code":"stalled"}})");
}

TEST_F(RedriveTest, ManyAreCountedFirstAndRedrivenUnderOneKey) {
  const ProgramResult result =
      RunOn({"job_01", "job_02"}, {"dead", "redrive", "--signature", "00ff", "--yes"});
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.out, "2 dead letters redriven (rdr_1)\n");
  ASSERT_EQ(requests_.size(), 2);
  EXPECT_EQ(requests_[1].body, R"({"filter":{"signature":"00ff"}})");
  EXPECT_THAT(requests_[1].headers["idempotency-key"], MatchesRegex("\"key_[0-9a-f]{32}\""));
}

TEST_F(RedriveTest, NothingToRedriveIsASuccess) {
  const ProgramResult result = RunOn({}, {"dead", "redrive", "--all", "--yes"});
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.out, "0 dead letters to redrive\n");
  EXPECT_EQ(requests_.size(), 1);
}

TEST_F(RedriveTest, OnATerminalItCountsAndAsks) {
  const FakeHttpServer server([](const FakeHttpRequest& request) {
    return Queue(request, {"job_01", "job_02"});
  });
  const std::vector<std::string> arguments = {"dead",   "redrive", "--blame",
                                              "worker", "--url",   server.url()};
  const ProgramResult no = RunOnTerminal(
      arguments, {.prompt = "Redrive 2 dead letters (blame worker)? [y/N] ", .answer = "n"});
  EXPECT_EQ(no.status, 1);
  EXPECT_THAT(no.out, HasSubstr("nothing was redriven"));
  EXPECT_EQ(server.requests().size(), 1);
  const ProgramResult yes = RunOnTerminal(arguments, {.prompt = "[y/N] ", .answer = "y"});
  EXPECT_EQ(yes.status, 0);
  EXPECT_THAT(yes.out, HasSubstr("2 dead letters redriven (rdr_1)\n"));
  EXPECT_EQ(server.requests().size(), 3);
}

TEST_F(RedriveTest, FollowsTheCanaryAndThenTheOthers) {
  const ProgramResult result = RunOn({"job_01", "job_02", "job_bad"},
                                     {"dead", "redrive", "--all", "--canary", "--wait", "--yes"});
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err, HasSubstr("1 of 3 dead letters redriven, as a canary: job_01; the others "
                                    "follow if it succeeds (rdr_1)\n"));
  EXPECT_THAT(result.err, HasSubstr("the canary succeeded; the others are redriven\n"));
  EXPECT_THAT(result.out, HasSubstr("job_bad (a.mp4) failed: it is still damaged\n"));
  EXPECT_THAT(result.out, HasSubstr("2 of 3 succeeded\n"));
}

TEST_F(RedriveTest, ACanaryThatDiesLeavesTheOthersInTheQueue) {
  const ProgramResult result = Run(
      {"dead", "redrive", "--all", "--canary", "--wait", "--yes", "--json"},
      [](const FakeHttpRequest& request) {
        if (request.target.starts_with("/v1/redrives/")) {
          return Json(
              200, {{"id", "rdr_1"}, {"state", "stopped"}, {"canary", "job_bad"}, {"waiting", 2}});
        }
        return Queue(request, {"job_bad", "job_01", "job_02"});
      });
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err,
              HasSubstr("the canary did not succeed; the others stay in the queue: 2\n"));
  const json reply = json::parse(result.out);
  EXPECT_EQ(reply.at("redrive").at("state"), "stopped");
  ASSERT_EQ(reply.at("jobs").size(), 1u);
  EXPECT_EQ(reply.at("jobs")[0].at("id"), "job_bad");
}

TEST_F(RedriveTest, ShowsManyJobsInOneLine) {
  std::vector<std::string> ids;
  for (int i = 10; i < 40; ++i) ids.push_back("job_" + std::to_string(i));
  const ProgramResult result = RunOn(ids, {"dead", "redrive", "--all", "--wait", "--yes"});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.out, "30 of 30 succeeded\n");
  EXPECT_THAT(result.err, HasSubstr("30 jobs: 100% waiting"));
}

class PurgeTest : public CommandsTest {
 protected:
  // Serves a queue in which the dry run finds `found` letters, and the purge `there`.
  ProgramResult Purge(std::vector<std::string> arguments, int found, int there) {
    return Run(std::move(arguments), [found, there](const FakeHttpRequest& request) {
      const json body = json::parse(request.body, nullptr, false);
      if (request.method == "DELETE") return FakeHttpReply{204, "", {}};
      if (body.value("dry_run", false)) return Json(200, {{"count", found}});
      if (body.at("expected") == there) return Json(200, {{"count", there}});
      return Problem(Error(ErrorCode::kPreconditionFailed,
                           std::to_string(there) + " dead letters would be purged"));
    });
  }
};

TEST_F(PurgeTest, PurgesJobsByName) {
  const ProgramResult result = Purge({"dead", "purge", "job_01", "job_02"}, 0, 0);
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.out, "job_01 purged\njob_02 purged\n");
  ASSERT_EQ(requests_.size(), 2);
  EXPECT_EQ(requests_[0].method, "DELETE");
  EXPECT_EQ(requests_[0].target, "/v1/dead-letters/job_01");
}

TEST_F(PurgeTest, PurgesOnlyTheCountedNumber) {
  const ProgramResult result = Purge({"dead", "purge", "--code", "stalled", "--yes"}, 3, 3);
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.out, "3 dead letters purged\n");
  ASSERT_EQ(requests_.size(), 2);
  EXPECT_EQ(requests_[0].target, "/v1/dead-letters/purge");
  EXPECT_EQ(requests_[0].body, R"({"dry_run":true,"filter":{"code":"stalled"}})");
  EXPECT_EQ(requests_[1].body, R"({"expected":3,"filter":{"code":"stalled"}})");
  EXPECT_THAT(requests_[1].headers["idempotency-key"], MatchesRegex("\"key_[0-9a-f]{32}\""));
}

TEST_F(PurgeTest, PurgesNothingIfTheQueueHasChanged) {
  const ProgramResult result = Purge({"dead", "purge", "--all", "--yes"}, 3, 4);
  EXPECT_EQ(result.status, 1);
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(
      result.err,
      "millrace: the queue has changed meanwhile, so nothing was purged: 4 dead letters would "
      "be purged\n");
}

TEST_F(PurgeTest, ALostAnswerMayHavePurgedAndTheErrorSaysSo) {
  int there = 3;
  bool lost = false;
  const ProgramResult result =
      Run({"dead", "purge", "--all", "--yes"}, [&](const FakeHttpRequest& request) {
        const json body = json::parse(request.body);
        if (body.value("dry_run", false)) return Json(200, {{"count", there}});
        // Purge, lose the answer, and have nothing left to purge for the repeated request.
        if (!std::exchange(lost, true)) {
          there = 0;
          return FakeHttpReply{0, "", {}};
        }
        return Problem(Error(ErrorCode::kPreconditionFailed, "0 dead letters would be purged"));
      });
  EXPECT_EQ(result.status, 1);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err,
              HasSubstr("millrace: an earlier try was not answered and may have purged them; 0 "
                        "dead letters match now; to see what was purged: millrace dead ls --state "
                        "purged\n"));
  EXPECT_THAT(result.err, testing::Not(HasSubstr("nothing was purged")));
}

TEST_F(PurgeTest, DryRunOnlyCounts) {
  const ProgramResult result = Purge({"dead", "purge", "--all", "--dry-run", "--json"}, 1, 1);
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(json::parse(result.out), json({{"count", 1}}));
  EXPECT_EQ(requests_.size(), 1);
}

TEST_F(PurgeTest, WithoutATerminalNothingIsSentToTheService) {
  const ProgramResult result = Purge({"dead", "purge", "--all"}, 1, 1);
  EXPECT_EQ(result.status, 2);
  EXPECT_TRUE(requests_.empty());
}

TEST_F(PurgeTest, OnATerminalOnlyYesConfirms) {
  const FakeHttpServer server([](const FakeHttpRequest&) { return Json(200, {{"count", 2}}); });
  const ProgramResult result = RunOnTerminal(
      {"dead", "purge", "--all", "--url", server.url()},
      {.prompt = "Purge 2 dead letters (all)? Their folders, with the failing inputs, are removed "
                 "for good. [y/N] ",
       .answer = "maybe"});
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.out, HasSubstr("nothing was purged"));
  EXPECT_EQ(server.requests().size(), 1);
}

}  // namespace
}  // namespace millrace::cli
