// `millrace dead`: its requests and output.

#include <gmock/gmock.h>

#include "core/base/clock.h"
#include "tests/cli/dead/fixture.h"
#include "tests/cli/show/terminal_program.h"

namespace millrace::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

class DeadTest : public CommandsTest {};

TEST_F(DeadTest, ListsStageInputAndDetailOfEachLetter) {
  const ProgramResult result = Run({"dead", "ls"}, [](const FakeHttpRequest&) {
    json other = LetterOf("job_02");
    other["stage"] = nullptr;
    other["codec"] = nullptr;
    return Json(200, {{"dead_letters", {LetterOf(kJobId), other}}, {"next_page_token", ""}});
  });
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(requests_.at(0).target, "/v1/dead-letters?page_size=50&state=open");
  EXPECT_EQ(result.out,
            "JOB     DIED                  CODE           BLAME  STAGE        INPUT        DETAIL\n"
            "job_01  2026-11-25T22:15:24Z  corrupt_media  media  decode/h264  holiday.mov  "
            "the picture cannot be decoded\n"
            "job_02  2026-11-25T22:15:24Z  corrupt_media  media               holiday.mov  "
            "the picture cannot be decoded\n");
}

TEST_F(DeadTest, CutsLinesToTheTerminal) {
  const FakeHttpServer server([](const FakeHttpRequest&) {
    return Json(200, {{"dead_letters", {LetterOf(kJobId)}}, {"next_page_token", ""}});
  });
  const ProgramResult result =
      RunOnTerminal({"dead", "ls", "--url", server.url()}, {.columns = 100});
  EXPECT_THAT(result.out, HasSubstr("holiday.mov  the picture cannot be…\n"));
}

TEST_F(DeadTest, SendsEveryConditionAndReadsAllPages) {
  const ProgramResult result = Run({"dead",        "ls",
                                    "--code",      "corrupt_media",
                                    "--blame",     "media",
                                    "--signature", "00ff",
                                    "--stage",     "decode",
                                    "--worker",    "host a/1",
                                    "--state",     "any",
                                    "--since",     "2026-11-25T20:00:00+01:00",
                                    "--until",     "2026-11-26T00:00:00Z",
                                    "--limit",     "2"},
                                   [](const FakeHttpRequest& request) {
                                     const bool first =
                                         request.target.find("page_token") == std::string::npos;
                                     return Json(200, {{"dead_letters", {LetterOf(kJobId)}},
                                                       {"next_page_token", first ? "t=1" : "t=2"}});
                                   });
  EXPECT_EQ(result.status, 0);
  ASSERT_EQ(requests_.size(), 2);
  EXPECT_EQ(requests_[0].target,
            "/v1/dead-letters?page_size=2&state=any&blame=media&code=corrupt_media"
            "&died_after=2026-11-25T19%3A00%3A00.000Z&died_before=2026-11-26T00%3A00%3A00.000Z"
            "&signature=00ff&stage=decode&worker=host%20a%2F1");
  EXPECT_THAT(requests_[1].target, HasSubstr("page_size=1&"));
  EXPECT_THAT(requests_[1].target, HasSubstr("&page_token=t%3D1"));
  EXPECT_EQ(result.err,
            "millrace: there are more; --limit shows them, --group counts them by kind\n");
}

TEST_F(DeadTest, CountsASpanBackFromNow) {
  const auto before = SystemClock().WallNow() - std::chrono::hours(2);
  Run({"dead", "ls", "--since", "2h"}, [](const FakeHttpRequest&) {
    return Json(200, {{"dead_letters", json::array()}, {"next_page_token", ""}});
  });
  const auto after = SystemClock().WallNow() - std::chrono::hours(2);
  std::string text = requests_.at(0).target;
  text = text.substr(text.find("died_after=") + 11);
  for (size_t at = 0; (at = text.find("%3A")) != std::string::npos;) text.replace(at, 3, ":");
  EXPECT_GE(ParseTime(text), before - std::chrono::milliseconds(1));
  EXPECT_LE(ParseTime(text), after);
}

TEST_F(DeadTest, GroupPrintsALineForEachKindOfFailure) {
  const json group = {{"signature", "00112233aabbccdd"},
                      {"signature_text", "corrupt_media in decode of h264: MB # #"},
                      {"code", "corrupt_media"},
                      {"blame", "media"},
                      {"count", 500},
                      {"inputs", 12},
                      {"first_at", "2026-11-20T01:02:03.000Z"},
                      {"last_at", "2026-11-25T22:15:24.123Z"},
                      {"example_job", "job_01"}};
  const auto answer = [group](const FakeHttpRequest&) {
    return Json(200, {{"groups", {group, group}}});
  };
  const ProgramResult result =
      Run({"dead", "ls", "--group", "--code", "corrupt_media", "--limit", "1"}, answer);
  EXPECT_EQ(requests_.at(0).target,
            "/v1/dead-letters?group_by=signature&state=open&code=corrupt_media");
  EXPECT_EQ(result.out,
            "COUNT  INPUTS  SIGNATURE         FIRST                 LAST                  "
            "EXAMPLE  WHAT\n"
            "500    12      00112233aabbccdd  2026-11-20T01:02:03Z  2026-11-25T22:15:24Z  "
            "job_01   corrupt_media in decode of h264: MB # #\n");
  EXPECT_EQ(result.err, "millrace: there are more; --limit shows them\n");
  EXPECT_EQ(json::parse(Run({"dead", "ls", "--group", "--json"}, answer).out),
            json({{"groups", {group, group}}}));
}

TEST_F(DeadTest, WrongConditionsExitWithTwoBeforeAnyRequest) {
  const auto never = [](const FakeHttpRequest&) { return FakeHttpReply{}; };
  for (const std::vector<std::string>& wrong :
       std::vector<std::vector<std::string>>{{"dead"},
                                             {"dead", "ls", "--blame", "nobody"},
                                             {"dead", "ls", "--state", "gone"},
                                             {"dead", "ls", "--since", "yesterday"},
                                             {"dead", "ls", "--limit", "0"},
                                             {"dead", "show"},
                                             {"dead", "fetch"}}) {
    EXPECT_EQ(Run(wrong, never).status, 2) << wrong.back();
    EXPECT_TRUE(requests_.empty()) << wrong.back();
  }
}

TEST_F(DeadTest, ShowDescribesTheFailureWhoMustActAndTheNextCommands) {
  const ProgramResult result = Run({"dead", "show", kJobId}, [](const FakeHttpRequest&) {
    return Json(200, WholeLetterOf(kJobId));
  });
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(requests_.at(0).target, "/v1/dead-letters/job_01");
  EXPECT_EQ(
      result.out,
      "job_01  dead letter, open\n"
      "  error       the picture cannot be decoded\n"
      "              corrupt_media, blame: media; another try cannot help\n"
      "  must act    whoever made the file: repair or replace it; as it is, it will fail again\n"
      "  where       decode of h264, stream 0, at 1.64 s, byte 31337\n"
      "  ffmpeg      error while decoding MB 3 4?[31m\n"
      "  input       holiday.mov, 1.4 MB, upl_1\n"
      "  asked for   web, poster\n"
      "  died        2026-11-25T22:15:24Z, in generation 2\n"
      "  signature   00112233aabbccdd  corrupt_media in decode of h264: error while decoding MB # "
      "#\n"
      "\n"
      "Attempts\n"
      "  FENCE  WORKER    STARTED               TOOK    OUTCOME  PEAK MEMORY  PROCESS       ERROR\n"
      "  7      host-a/1  2026-11-25T22:15:20Z  1.50 s  failed   52.0 MB      SIGSEGV (11)  "
      "encoder_crashed: ended by SIGSEGV\n"
      "  9      host-b/1  2026-11-25T22:15:22Z  2.00 s  failed   48.0 MB      exit 65       "
      "corrupt_media: the picture cannot be decoded\n"
      "\n"
      "The end of the log\n"
      "  [h264] no frame!\n"
      "  giving up\n"
      "\n"
      "Files, in its dead-letter folder\n"
      "  input        5 B\n"
      "  log-9.txt    3 B\n"
      "  repro.sh     10 B\n"
      "  report.json  2 B\n"
      "\n"
      "To repeat the failing attempt (millrace-encode in PATH or $MILLRACE_ENCODE)\n"
      "  millrace dead fetch job_01 && ./job_01/repro.sh\n"
      "\n"
      "What can be done\n"
      "  millrace dead log job_01                                    the encoder's log\n"
      "  millrace dead ls --signature 00112233aabbccdd               the jobs that failed in the "
      "same way\n"
      "  millrace dead redrive job_01                                try it again, once the cause "
      "is mended\n"
      "  millrace dead purge job_01                                  remove its folder; a record "
      "stays\n");
}

TEST_F(DeadTest, ShowDescribesALetterWithoutItsFolder) {
  const ProgramResult result = Run({"dead", "show", kJobId}, [](const FakeHttpRequest&) {
    json letter = LetterOf(kJobId);
    letter["state"] = "purged";
    letter["closed_at"] = "2026-11-26T00:00:00.000Z";
    letter["report"] = nullptr;
    letter["files"] = json::array();
    return Json(200, letter);
  });
  EXPECT_EQ(result.status, 0);
  EXPECT_THAT(result.out, HasSubstr("job_01  dead letter, purged 2026-11-26T00:00:00Z\n"));
  EXPECT_THAT(result.out, HasSubstr("  where       decode of h264\n"));
  EXPECT_THAT(result.out, HasSubstr("Its folder is gone: purged 2026-11-26T00:00:00Z\n"));
  EXPECT_THAT(result.out, HasSubstr("millrace show job_01"));
  EXPECT_THAT(result.out, Not(HasSubstr("redrive")));
}

TEST_F(DeadTest, ShowOfPoisonDescribesTheCrashAndNamesTheEarlierJob) {
  const ProgramResult result = Run({"dead", "show", kJobId}, [](const FakeHttpRequest&) {
    json letter = WholeLetterOf(kJobId);
    letter["report"]["error"] = {
        {"code", "poison"},
        {"blame", "media"},
        {"detail", "encoders crashed on this input 2 times"},
        {"context",
         {{"last_error",
           {{"code", "encoder_crashed"},
            {"detail", "the encoder was ended by SIGSEGV"},
            {"context",
             {{"phase", "transcoding"}, {"media_seconds", 3.5}, {"signal", "SIGSEGV"}}}}},
          {"earlier_job", "job_00"}}}};
    return Json(200, letter);
  });
  EXPECT_THAT(result.out, HasSubstr("  must act    whoever made the file: it crashes encoders"));
  EXPECT_THAT(result.out,
              HasSubstr("  the crash   the encoder was ended by SIGSEGV; encoder_crashed\n"));
  EXPECT_THAT(result.out, HasSubstr("  where       transcoding, after 3.50 s of media\n"
                                    "  ended by    SIGSEGV\n"));
  EXPECT_THAT(result.out, HasSubstr("  known from  job_00  (millrace dead show job_00)\n"));
}

TEST_F(DeadTest, AJobThatIsNotDeadExitsWithThree) {
  for (const char* command : {"show", "log", "fetch", "input"}) {
    const ProgramResult result =
        Run({"dead", command, "job_x"}, [](const FakeHttpRequest&) { return NoLetter(); });
    EXPECT_EQ(result.status, 3) << command;
    EXPECT_EQ(result.err, "millrace: there is no job job_x (dead_letter_not_found)\n") << command;
  }
}

TEST_F(DeadTest, LogIsUnchangedButPrintableOnATerminal) {
  const auto answer = [](const FakeHttpRequest&) {
    return FakeHttpReply{200, "one\x1b[31m\n\ttwo", {}};
  };
  const ProgramResult result = Run({"dead", "log", kJobId, "--fence", "7"}, answer);
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(requests_.at(0).target, "/v1/dead-letters/job_01/log?fence=7");
  EXPECT_EQ(result.out, "one\x1b[31m\n\ttwo");
  const FakeHttpServer server(answer);
  EXPECT_EQ(RunOnTerminal({"dead", "log", kJobId, "--url", server.url()}, {}).out,
            "one?[31m\n two\n");
}

TEST_F(DeadTest, HelpShowsTheUsualCommands) {
  const ProgramResult result = RunMillrace({"dead", "--help"});
  EXPECT_EQ(result.status, 0);
  for (const char* line : {"millrace dead ls --group", "repro.sh", "--canary --wait", "purge"}) {
    EXPECT_THAT(result.out, HasSubstr(line));
  }
  EXPECT_THAT(RunMillrace({"dead", "redrive", "--help"}).out, HasSubstr("RFC 7396"));
}

TEST_F(DeadTest, ShowAndWatchOfADeadJobNameTheNextCommand) {
  json job = JobIn("dead");
  job["error"] = ProblemJson(Error(ErrorCode::kCorruptMedia, "the picture cannot be decoded"));
  job["error"]["context"] = {{"stage", "decode"},
                             {"codec", "h264"},
                             {"stream", 0},
                             {"pts_seconds", 83.4},
                             {"ffmpeg", "no frame!"}};
  for (const char* command : {"show", "watch"}) {
    const ProgramResult result =
        Run({command, kJobId}, [&job](const FakeHttpRequest&) { return Json(200, job); });
    EXPECT_THAT(result.out, HasSubstr("  where       decode of h264, stream 0, at 1:23\n"
                                      "  ffmpeg      no frame!\n"))
        << command;
    EXPECT_THAT(result.out, HasSubstr("  for more: millrace dead show job_01\n")) << command;
  }
}

}  // namespace
}  // namespace millrace::cli
