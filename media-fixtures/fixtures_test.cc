// Reads every fixture with ffprobe and ffmpeg and compares with what the manifest says of it.

#include "tests/fakes/fixtures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <sstream>

#include "core/base/error.h"
#include "media-fixtures/facts.h"
#include "media-fixtures/process.h"

namespace millrace::fixtures {
namespace {

// Adds to `differences` the place and the two values wherever `measured` is not what the manifest
// says. Numbers with a fraction are times; they and counts of frames may differ by the fixture's
// tolerances.
void Compare(const Fixture& fixture, const nlohmann::json& said, const nlohmann::json& measured,
             const std::string& place, std::vector<std::string>& differences) {
  const auto differ = [&] {
    differences.push_back(place + ": the manifest says " + said.dump() + ", measured " +
                          measured.dump());
  };
  if (said.is_number_float() && measured.is_number()) {
    const double difference = said.get<double>() - measured.get<double>();
    if (std::abs(difference) > fixture.tolerance_seconds) differ();
  } else if (place.ends_with("/frames") && measured.is_number_integer()) {
    if (std::abs(said.get<int>() - measured.get<int>()) > fixture.tolerance_frames) differ();
  } else if (said.is_structured() && said.type() == measured.type()) {
    if (said.size() != measured.size()) differ();
    for (const auto& [key, value] : said.items()) {
      const nlohmann::json::json_pointer pointer("/" + key);
      const auto found = measured.contains(pointer) ? measured[pointer] : nlohmann::json("nothing");
      Compare(fixture, value, found, place + "/" + key, differences);
    }
  } else if (said != measured) {
    differ();
  }
}

class FixtureTest : public testing::TestWithParam<Fixture> {};

TEST_P(FixtureTest, IsWhatTheManifestSays) {
  const Fixture& fixture = GetParam();
  const auto path = FixturePath(fixture.name);
  nlohmann::json measured = MeasureFacts(path);
  if (fixture.facts.contains("corners")) measured["corners"] = MeasureCorners(path);
  if (fixture.facts.contains("sync")) {
    const SyncMarks marks = MeasureSync(path);
    ASSERT_EQ(marks.flashes.size(), marks.beeps.size());
    measured["sync"] = {{"flashes", marks.flashes}, {"worst_offset_seconds", marks.WorstOffset()}};
  }
  std::vector<std::string> differences;
  Compare(fixture, fixture.facts, measured, "", differences);
  EXPECT_THAT(differences, testing::IsEmpty());
}

std::string TestName(const testing::TestParamInfo<Fixture>& info) {
  std::string name = info.param.name;
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return !std::isalnum(c); }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Each, FixtureTest, testing::ValuesIn(LoadManifest()), TestName);

TEST(ManifestTest, NamesExactlyTheFilesThatHaveARecipe) {
  std::multiset<std::string> listed, named;
  for (const Fixture& fixture : LoadManifest()) named.insert(fixture.name);
  std::istringstream lines(RunProcess({"bash", MILLRACE_FIXTURE_GENERATOR, "--list"}).out);
  for (std::string line; std::getline(lines, line);) listed.insert(line);
  EXPECT_FALSE(listed.empty());
  EXPECT_EQ(named, listed);
}

TEST(ManifestTest, GivesAReasonOfTheMediaForEachFileThatMustFail) {
  for (const Fixture& fixture : LoadManifest()) {
    EXPECT_EQ(fixture.expected == Expected::kOk, fixture.errors.empty()) << fixture.name;
    EXPECT_FALSE(fixture.salvage && fixture.expected != Expected::kCorrupt) << fixture.name;
    for (const std::string& name : fixture.errors) {
      const auto code = ErrorCodeFromName(name);
      ASSERT_TRUE(code) << fixture.name << ": " << name;
      EXPECT_EQ(TraitsOf(*code).blame, Blame::kMedia) << fixture.name << ": " << name;
    }
  }
}

TEST(ManifestTest, KeepsFlashAndBeepTogetherWhereverItPromisesSync) {
  int promised = 0;
  for (const Fixture& fixture : LoadManifest()) {
    if (!fixture.facts.contains("sync")) continue;
    ++promised;
    EXPECT_GE(fixture.facts["sync"]["flashes"].size(), 3u) << fixture.name;
    EXPECT_LE(fixture.facts["sync"]["worst_offset_seconds"].get<double>(), 0.02) << fixture.name;
  }
  EXPECT_GE(promised, 5);
}

TEST(ManifestTest, ShowsEveryTurnedPictureUpright) {
  int turned = 0;
  for (const Fixture& fixture : LoadManifest()) {
    if (!fixture.facts.contains("corners")) continue;
    for (const auto& video : fixture.Streams("video")) turned += video["rotation"] != 0;
    EXPECT_EQ(fixture.facts["corners"], nlohmann::json::array({"red", "green", "blue", "yellow"}))
        << fixture.name;
  }
  EXPECT_GE(turned, 4);
}

}  // namespace
}  // namespace millrace::fixtures
