#include <gtest/gtest.h>

#include <set>

#include "media-fixtures/facts.h"
#include "tests/system/media_checks.h"
#include "tests/system/service_test.h"

namespace millrace::harness {
namespace {

class PresetTest : public ServiceTest {};

// Maps a codec of a preset to ffprobe's name for it.
std::string ProbedCodec(const json& stream_spec, const json& given) {
  const std::string codec = stream_spec.at("codec");
  return codec == "copy" ? given.at("codec").get<std::string>() : codec;
}

void ExpectMediaOf(const json& preset, const json& facts, const json& given) {
  for (const char* type : {"video", "audio"}) {
    const json made = StreamOf(facts, type);
    const json source = StreamOf(given, type);
    if (!preset.contains(type) || preset.at(type).is_null()) {
      EXPECT_TRUE(made.is_null()) << "there is " << type << " that was not asked for";
      continue;
    }
    ASSERT_FALSE(made.is_null()) << "there is no " << type;
    EXPECT_EQ(made.at("codec"), ProbedCodec(preset.at(type), source));
    EXPECT_NEAR(made.at("seconds"), source.at("seconds"), 0.1);
    if (type == std::string("video")) {
      EXPECT_EQ(made.at("frames"), source.at("frames"));
    }
  }
}

TEST_F(PresetTest, EachMakesTheOutputsOfItsDescription) {
  Service& service = Begin();
  Client& client = service.client();
  const json presets = client.Get("/v1/presets").at("presets");
  ASSERT_GE(presets.size(), 11u);
  const std::filesystem::path input = fixtures::FixturePath("av-sync.mp4");
  const json given = fixtures::MeasureFacts(input);
  const std::string upload = client.Upload(input);

  std::vector<std::pair<json, std::string>> jobs;
  for (const json& preset : presets) {
    const std::string name = preset.at("name");
    EXPECT_GE(preset.at("description").get<std::string>().size(), 10u) << name;
    // Use the preset with a fast encoder: its quality is not tested here.
    json output = {{"name", "out"}, {"preset", name}};
    if (preset.contains("video") && preset.at("video").value("codec", "copy") != "copy") {
      output["video"] = {{"speed", "ultrafast"}};
    }
    const json job =
        client.Submit({{"input", {{"upload", upload}}}, {"outputs", json::array({output})}});
    jobs.emplace_back(preset, job.at("id"));
  }
  for (const auto& [preset, id] : jobs) {
    SCOPED_TRACE(preset.dump());
    const json job = client.WaitForEnd(id);
    ASSERT_EQ(job.at("state"), "succeeded") << job.dump(2);
    const json files = FilesOf(job, "out");
    const json pictures = preset.value("thumbnails", json());
    ASSERT_EQ(files.size(), pictures.is_null() ? 1 : pictures.at("count").get<size_t>());
    for (const json& file : files) {
      const json facts = fixtures::MeasureFacts(client.Fetch(file, service.download_dir()));
      if (pictures.is_null()) {
        ExpectMediaOf(preset, facts, given);
      } else {
        EXPECT_EQ(facts.at("streams").size(), 1u);
        EXPECT_EQ(facts.at("streams")[0].at("frames"), 1);
      }
    }
  }
}

}  // namespace
}  // namespace millrace::harness
