#include "broker/ledger/failure_signature.h"

#include <gtest/gtest.h>

namespace millrace::broker {
namespace {

TEST(StablePart, LeavesOutWhatDiffersFromFileToFile) {
  const std::pair<const char*, const char*> cases[] = {
      {"[h264 @ 0x55d0c8a2b940] error while decoding MB 12 34, bytestream -5",
       "[h264 @ #] error while decoding MB # #, bytestream #"},
      {"12 of 300 frames are missing", "# of # frames are missing"},
      {"cannot open '/srv/a b/c.mp4': Permission denied", "cannot open #: Permission denied"},
      {"rename /data/work/tsk_1.7/out to /data/outputs/x/7: Input/output error",
       "rename # to #: Input/output error"},
      {"movie.mp4: moov atom not found", "#: moov atom not found"},
      {"job job_019ab3c4d5e67708a9b0c1d2e3f40516 has ended", "job # has ended"},
      {"id 3f2504e0-4f89-11d3-9a0c-0305e82c3301.", "id #."},
      {"lasts 00:01:02.50 and not 61.5 s", "lasts # and not # s"},
      {"1920x1080 at 29.97 fps, took 12ms", "#x# at # fps, took #ms"},
      {"frame12345 of yuv420p10le in h264", "frame# of yuv420p10le in h264"},
      {"from https://host:80/a?b=1 came nothing", "from # came nothing"},
      {"two  blanks\tand\n a line ", "two blanks and a line"},
      {"the file's \"name\" isn't it", "the file's # isn't it"},
      {"bits/s and I/O", "bits/s and I/O"},
      {"", ""},
  };
  for (const auto& [message, stable] : cases) EXPECT_EQ(StablePart(message), stable) << message;
}

TEST(StablePart, IsTheSameWhenItIsTakenAgain) {
  const std::string once = StablePart("[mov @ 0x1f] '/a/b' at 1:02:03 of x.mp4, 5.1 (-22)");
  EXPECT_EQ(StablePart(once), once);
}

TEST(StablePart, IsShortAndValidUtf8) {
  std::string umlauts;
  for (int i = 0; i < 100; ++i) umlauts += "ä";
  EXPECT_EQ(StablePart("x" + umlauts).size(), 159U);
  EXPECT_EQ(StablePart(umlauts).size(), 160U);
  EXPECT_EQ(StablePart("bad \xff\xc3) byte"),
            "bad ?"
            "?) byte");
  EXPECT_EQ(StablePart("half a letter: \xe2\x82"), "half a letter: ??");
}

TEST(FailureSignature, NamesCodeStageCodecAndFfmpegsWords) {
  const FailureSignature signature = SignatureOf(
      Error(ErrorCode::kCorruptMedia, "the video cannot be decoded after 1.5 s",
            {{"stage", "decode"}, {"codec", "h264"}, {"ffmpeg", "error while decoding MB 12 34"}}));
  EXPECT_EQ(signature.text, "corrupt_media in decode of h264: error while decoding MB # #");
  EXPECT_EQ(signature.stage, "decode");
  EXPECT_EQ(signature.codec, "h264");
  // Ledgers store this id: changing it would split existing groups in two.
  EXPECT_EQ(signature.id, "df1d1e880ff4f739");
}

TEST(FailureSignature, IsEqualForFailuresThatAreAlikeAndForNoOthers) {
  const auto of = [](ErrorCode code, const char* detail, const char* stage) {
    return SignatureOf(Error(code, detail, {{"stage", stage}})).id;
  };
  const std::string one = of(ErrorCode::kStalled, "no progress for 31 s", "encode");
  EXPECT_EQ(of(ErrorCode::kStalled, "no progress for 29 s", "encode"), one);
  EXPECT_NE(of(ErrorCode::kStalled, "no progress for 31 s", "decode"), one);
  EXPECT_NE(of(ErrorCode::kEncodeFailed, "no progress for 31 s", "encode"), one);
  EXPECT_NE(of(ErrorCode::kStalled, "no start for 31 s", "encode"), one);
}

TEST(FailureSignature, OfPoisonIsThatOfTheCrashBehindIt) {
  const Error crash(ErrorCode::kEncoderCrashed, "killed by signal 11", {{"stage", "decode"}});
  const Error poison(ErrorCode::kPoison, "it crashed 2 workers", {{"last_error", ToJson(crash)}});
  EXPECT_EQ(SignatureOf(poison).id, SignatureOf(crash).id);
  EXPECT_EQ(SignatureOf(poison).text, "encoder_crashed in decode: killed by signal #");
  const Error known(ErrorCode::kPoison, "known to crash encoders", {{"last_error", nullptr}});
  EXPECT_EQ(SignatureOf(known).text, "poison: known to crash encoders");
}

TEST(FailureSignature, TakesAnyContext) {
  const FailureSignature signature = SignatureOf(
      Error(ErrorCode::kInternal, "", {{"stage", 7}, {"codec", "\xff"}, {"ffmpeg", nullptr}}));
  EXPECT_EQ(signature.text, "internal of ?");
  EXPECT_EQ(signature.stage, "");
}

}  // namespace
}  // namespace millrace::broker
