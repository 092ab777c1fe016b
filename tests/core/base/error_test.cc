#include "core/base/error.h"

#include <gtest/gtest.h>

#include <set>

namespace millrace {
namespace {

TEST(ErrorTable, HasOneRowForEachCodeInTheOrderOfTheEnumeration) {
  std::set<std::string_view> names;
  int index = 0;
  for (const ErrorTraits& traits : AllErrorTraits()) {
    EXPECT_EQ(static_cast<int>(traits.code), index++) << traits.name;
    EXPECT_TRUE(names.insert(traits.name).second) << traits.name;
    EXPECT_EQ(ErrorCodeFromName(traits.name), traits.code);
  }
  EXPECT_EQ(index, static_cast<int>(ErrorCode::kInternal) + 1);
}

TEST(ErrorTable, GivesEveryCodeAnErrorStatus) {
  for (const ErrorTraits& traits : AllErrorTraits()) {
    EXPECT_GE(traits.http_status, 400) << traits.name;
    EXPECT_LT(traits.http_status, 600) << traits.name;
  }
}

TEST(ErrorTable, NeverRetriesFaultsOfTheMedia) {
  for (const ErrorCode code : {ErrorCode::kNotMedia, ErrorCode::kNoDecoder, ErrorCode::kNoStreams,
                               ErrorCode::kEncryptedInput, ErrorCode::kEmptyInput}) {
    EXPECT_EQ(TraitsOf(code).retry, RetryClass::kPermanent);
    EXPECT_EQ(TraitsOf(code).blame, Blame::kMedia);
  }
}

TEST(ErrorTable, BlamesTheWorkerForALostWorker) {
  for (const ErrorCode code : {ErrorCode::kLeaseLost, ErrorCode::kWorkerLost,
                               ErrorCode::kWorkerDraining, ErrorCode::kWorkerDiskFull}) {
    EXPECT_EQ(TraitsOf(code).retry, RetryClass::kInfrastructure);
    EXPECT_EQ(TraitsOf(code).blame, Blame::kWorker);
  }
}

TEST(Error, ReadsBackWhatAMessageCarries) {
  const Error error(ErrorCode::kCorruptMedia, "no frame of 250 could be decoded",
                    {{"stage", "decode"}, {"pts_seconds", 1.5}});
  const Error back = ErrorFromJson(ToJson(error));
  EXPECT_EQ(back.code(), error.code());
  EXPECT_STREQ(back.what(), error.what());
  EXPECT_EQ(back.context(), error.context());
}

TEST(Error, KeepsTheFieldsOfABadRequest) {
  const Error back =
      ErrorFromJson(ToJson(Error({{"/priority", "too high"}, {"/input", "missing"}})));
  EXPECT_EQ(back.code(), ErrorCode::kInvalidRequest);
  ASSERT_EQ(back.fields().size(), 2U);
  EXPECT_EQ(back.fields()[1].pointer, "/input");
  EXPECT_EQ(back.fields()[1].detail, "missing");
}

TEST(Error, KeepsTheNameOfAnUnknownCode) {
  const Error error = ErrorFromJson({{"code", "solar_flare"}, {"detail", "hot"}});
  EXPECT_EQ(error.code(), ErrorCode::kInternal);
  EXPECT_EQ(error.context()["code"], "solar_flare");
}

TEST(Error, AcceptsJsonOfAnyShape) {
  for (const char* text :
       {"null", "7", "[]", "{}", R"({"code":5,"detail":[],"context":"x"})",
        R"({"code":"x","context":[1]})", R"({"code":"invalid_request","errors":[7,{"pointer":1}]})",
        R"({"code":"invalid_request","errors":"all"})"}) {
    EXPECT_NO_THROW(ErrorFromJson(nlohmann::json::parse(text))) << text;
  }
}

TEST(Problem, FollowsRfc9457AndNamesTheBlame) {
  const auto problem =
      ProblemJson(Error(std::vector<FieldError>{{"/outputs/0/name", "is required"}}));
  EXPECT_EQ(problem["type"], "urn:millrace:problem:invalid_request");
  EXPECT_EQ(problem["status"], 400);
  EXPECT_EQ(problem["code"], "invalid_request");
  EXPECT_EQ(problem["blame"], "request");
  EXPECT_EQ(problem["retryable"], false);
  EXPECT_EQ(problem["errors"][0]["pointer"], "/outputs/0/name");
  EXPECT_EQ(problem["detail"], "/outputs/0/name: is required");
}

}  // namespace
}  // namespace millrace
