#include "core/model/failure_problem.h"

#include <gtest/gtest.h>

#include "core/base/id.h"

namespace millrace {
namespace {

TEST(FailureProblem, ShowsTheKnownFactsOfTheFailure) {
  const nlohmann::json facts = {{"stage", "decode"},      {"stream", 1},
                                {"codec", "h264"},        {"pts_seconds", 12.5},
                                {"byte_offset", 4096},    {"ffmpeg", "error while decoding MB 3 4"},
                                {"phase", "transcoding"}, {"media_seconds", 11.25},
                                {"signal", "SIGSEGV"},    {"exit_status", 1}};
  const auto problem = FailureProblemJson(Error(ErrorCode::kCorruptMedia, "damaged", facts));
  EXPECT_EQ(problem["context"], facts);
  EXPECT_EQ(problem["code"], "corrupt_media");
  EXPECT_EQ(problem["blame"], "media");
}

TEST(FailureProblem, ShowsNothingElseOfTheContext) {
  const auto problem = FailureProblemJson(Error(ErrorCode::kStorageError, "it failed",
                                                {{"path", "/srv/millrace/ledger.db"},
                                                 {"last_error", "text"},
                                                 {"workers", {"host/1"}},
                                                 {"failpoint", "x"}}));
  EXPECT_FALSE(problem.contains("context")) << problem;
  EXPECT_EQ(problem.dump().find("/srv"), std::string::npos);
}

TEST(FailureProblem, NeverShowsTheContextOfAnOrdinaryProblem) {
  EXPECT_FALSE(
      ProblemJson(Error(ErrorCode::kStorageError, "x", {{"stage", "decode"}})).contains("context"));
}

TEST(FailureProblem, ShowsTheFactsOfTheCrashBehindPoison) {
  const Error crash(ErrorCode::kEncoderCrashed, "the encoder was ended by SIGSEGV",
                    {{"signal", "SIGSEGV"}, {"media_seconds", 3.5}});
  const auto problem = FailureProblemJson(Error(
      ErrorCode::kPoison, "it crashed twice", {{"last_error", ToJson(crash)}, {"workers", {"a"}}}));
  EXPECT_EQ(problem["context"], (nlohmann::json{{"signal", "SIGSEGV"}, {"media_seconds", 3.5}}));
  EXPECT_FALSE(problem.contains("earlier_job"));
}

TEST(FailureProblem, NamesTheEarlierJobOfKnownPoison) {
  const std::string earlier = NewJobId();
  EXPECT_EQ(FailureProblemJson(
                Error(ErrorCode::kPoison, "known", {{"earlier_job", earlier}}))["earlier_job"],
            earlier);
  EXPECT_FALSE(FailureProblemJson(Error(ErrorCode::kPoison, "known", {{"earlier_job", "../x"}}))
                   .contains("earlier_job"));
}

TEST(FailureProblem, LeavesOutFactsOfAWrongType) {
  const auto problem = FailureProblemJson(
      Error(ErrorCode::kCorruptMedia, "x",
            {{"stage", {{"a", 1}}}, {"stream", "one"}, {"codec", nullptr}, {"byte_offset", true}}));
  EXPECT_FALSE(problem.contains("context")) << problem;
  for (const char* context : {"[]", "null", R"({"last_error":{"context":[]}})",
                              R"({"last_error":{"context":"x"}})", R"({"earlier_job":5})"}) {
    EXPECT_NO_THROW(
        FailureProblemJson(Error(ErrorCode::kPoison, "x", nlohmann::json::parse(context))))
        << context;
  }
}

TEST(FailureProblem, CutsLongTextsBetweenCharacters) {
  std::string text(511, 'x');
  text += "\xc3\xa9 and more";
  const auto problem = FailureProblemJson(Error(ErrorCode::kCorruptMedia, "x", {{"ffmpeg", text}}));
  EXPECT_EQ(problem["context"]["ffmpeg"], std::string(511, 'x'));
}

}  // namespace
}  // namespace millrace
