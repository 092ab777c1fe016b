#include "broker/ledger/records.h"

#include <gtest/gtest.h>

#include "tests/broker/sample_records.h"

namespace millrace::broker {
namespace {

TEST(Records, NamesOfStatesReadBack) {
  using Letter = DeadLetterRecord::State;
  for (const Letter state : {Letter::kOpen, Letter::kRedriven, Letter::kPurged, Letter::kExpired}) {
    EXPECT_EQ(DeadLetterStateFromName(NameOf(state)), state);
  }
  EXPECT_EQ(NameOf(Letter::kOpen), "open");
  EXPECT_EQ(DeadLetterStateFromName("any"), std::nullopt);
  using Redrive = RedriveRecord::State;
  for (const Redrive state : {Redrive::kWaiting, Redrive::kReleased, Redrive::kStopped}) {
    EXPECT_EQ(RedriveStateFromName(NameOf(state)), state);
  }
  EXPECT_EQ(RedriveStateFromName(""), std::nullopt);
}

TEST(Records, ShowsADeadLetterWithEverythingThatIsKnown) {
  Job job = samples::SmallJob();
  job.id = "job_1";
  EXPECT_EQ(ToJson(samples::FullLetter(job)), nlohmann::json::parse(R"json({
    "job": "job_1", "generation": 1, "state": "purged",
    "died_at": "2023-11-14T22:13:20.000Z", "closed_at": "2023-11-14T22:13:20.000Z",
    "code": "corrupt_media", "blame": "media", "detail": "line 1\nline 2",
    "stage": "decode", "codec": "h264", "signature": "0011223344556677",
    "signature_text": "corrupt_media in decode of h264: #",
    "input_name": "in \"1\".mov", "input_sha256": "abcd", "worker": "host/1"})json"));
}

TEST(Records, ShowsWhatIsNotKnownAsNull) {
  const nlohmann::json shown = ToJson(samples::SmallLetter(samples::SmallJob()));
  for (const char* key :
       {"closed_at", "detail", "stage", "codec", "input_name", "input_sha256", "worker"}) {
    EXPECT_TRUE(shown.at(key).is_null()) << key;
  }
}

TEST(Records, ShowsARedriveWithTheNumberOfThoseThatWait) {
  Job canary = samples::SmallJob();
  RedriveRecord redrive = samples::FullRedrive(canary);
  const nlohmann::json shown = ToJson(redrive);
  EXPECT_EQ(shown.at("id"), redrive.id);
  EXPECT_EQ(shown.at("state"), "waiting");
  EXPECT_EQ(shown.at("canary"), canary.id);
  EXPECT_EQ(shown.at("count"), 5);
  EXPECT_EQ(shown.at("waiting"), 2);
  EXPECT_EQ(shown.at("created_at"), "2023-11-14T22:13:20.000Z");
}

TEST(Records, ShowsAGroup) {
  const DeadLetterGroup group{.signature = "s",
                              .signature_text = "t",
                              .code = "c",
                              .blame = "media",
                              .count = 3,
                              .inputs = 2,
                              .first_at = samples::At(0),
                              .last_at = samples::At(1'000'000),
                              .example_job = "job_1"};
  EXPECT_EQ(ToJson(group), nlohmann::json::parse(R"json({
    "signature": "s", "signature_text": "t", "code": "c", "blame": "media", "count": 3,
    "inputs": 2, "first_at": "2023-11-14T22:13:20.000Z", "last_at": "2023-11-14T22:13:21.000Z",
    "example_job": "job_1"})json"));
}

}  // namespace
}  // namespace millrace::broker
