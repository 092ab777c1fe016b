#include "tests/api/routes/api_fixture.h"

namespace millrace::api {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class ApiPresetsTest : public ApiTest {
 protected:
  void WritePreset(const std::string& file, const std::string& text) {
    std::filesystem::create_directories(folder_);
    std::ofstream(folder_ / file) << text;
    options_.presets_dir = folder_;
  }
  // Why the API does not start.
  std::string Refusal() {
    try {
      Start();
    } catch (const Error& error) {
      return error.what();
    }
    return "it started";
  }

  const std::filesystem::path folder_ = dir_.path() / "presets";
};

TEST_F(ApiPresetsTest, ListsTheShippedOnesSpeltOut) {
  const RawReply reply = Get("/v1/presets");
  ASSERT_EQ(reply.status, 200);
  std::map<std::string, nlohmann::json> presets;
  const nlohmann::json body = Body(reply);
  for (const auto& preset : body.at("presets")) presets[preset.at("name")] = preset;
  for (const char* name : {"mp4-h264-1080p", "mp4-h264-720p", "mp4-h264-480p", "mp4-h264-360p",
                           "mp4-hevc-1080p", "webm-vp9-720p", "webm-av1-720p", "audio-aac",
                           "audio-mp3", "audio-opus", "remux-mp4", "poster"}) {
    EXPECT_TRUE(presets.contains(name)) << name;
  }
  for (const auto& [name, preset] : presets) {
    EXPECT_TRUE(preset.contains("description")) << name;
    EXPECT_TRUE(preset.contains("container") || preset.contains("thumbnails")) << name;
  }
  EXPECT_EQ(presets["mp4-h264-720p"]["video"]["height"], 720);
}

TEST_F(ApiPresetsTest, ShowsOne) {
  const RawReply reply = Get("/v1/presets/poster");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(Body(reply)["thumbnails"]["format"], "jpeg");
  ExpectProblem(Get("/v1/presets/no-such"), 404, "unknown_preset");
}

TEST_F(ApiPresetsTest, AFolderAddsAndReplaces) {
  WritePreset("house.json",
              R"({"description": "Ours", "container": "mkv", "video": {"codec": "h264"}})");
  WritePreset("poster.json", R"({"description": "PNG", "thumbnails": {"format": "png"}})");
  Start();
  // The default that a job would get is shown.
  EXPECT_EQ(Body(Get("/v1/presets/house"))["video"]["crf"], 23);
  EXPECT_EQ(Body(Get("/v1/presets/poster"))["thumbnails"]["format"], "png");
  EXPECT_EQ(Get("/v1/presets/mp4-h264-720p").status, 200);
}

TEST_F(ApiPresetsTest, AWrongPresetStopsTheStartAndIsNamed) {
  WritePreset("bad.json",
              R"({"container": "mp4", "video": {"codec": "h264", "crf": 99}, "name": "x"})");
  EXPECT_THAT(Refusal(), AllOf(HasSubstr("presets/bad.json"), HasSubstr("/video/crf"),
                               HasSubstr("/description"), HasSubstr("/name")));
}

TEST_F(ApiPresetsTest, AFileThatIsNotJsonStopsTheStart) {
  WritePreset("bad.json", "{\"description\": ");
  EXPECT_THAT(Refusal(), AllOf(HasSubstr("presets/bad.json"), HasSubstr("line 1")));
}

TEST_F(ApiPresetsTest, AListIsNoPreset) {
  WritePreset("bad.json", "[]");
  EXPECT_THAT(Refusal(), HasSubstr("presets/bad.json: must be a JSON object"));
}

TEST_F(ApiPresetsTest, ANameThatNobodyCouldTypeStopsTheStart) {
  WritePreset("My Preset.json", R"({"description": "x", "thumbnails": {}})");
  EXPECT_THAT(Refusal(), HasSubstr("My Preset.json"));
}

TEST_F(ApiPresetsTest, AFolderThatIsNotThereStopsTheStart) {
  options_.presets_dir = dir_.path() / "nowhere";
  EXPECT_THAT(Refusal(), HasSubstr("nowhere"));
}

}  // namespace
}  // namespace millrace::api
