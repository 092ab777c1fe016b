#include "core/model/encode_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace millrace {
namespace {

class MapPresets final : public PresetSource {
 public:
  explicit MapPresets(std::map<std::string, nlohmann::json, std::less<>> presets = {})
      : presets_(std::move(presets)) {}
  const nlohmann::json* Find(std::string_view name) const override {
    const auto found = presets_.find(name);
    return found == presets_.end() ? nullptr : &found->second;
  }

 private:
  std::map<std::string, nlohmann::json, std::less<>> presets_;
};

nlohmann::json GoodOutput() {
  return {{"name", "web"},
          {"container", "mp4"},
          {"video", {{"codec", "h264"}, {"height", 720}}},
          {"audio", {{"codec", "aac"}}}};
}

std::vector<FieldError> Errors(const nlohmann::json& outputs,
                               const nlohmann::json& clip = nullptr) {
  std::vector<FieldError> errors;
  ParseEncodeSpec(outputs, clip.is_null() ? nullptr : &clip, MapPresets(), errors);
  return errors;
}

std::vector<std::string> Pointers(const std::vector<FieldError>& errors) {
  std::vector<std::string> pointers;
  for (const FieldError& error : errors) pointers.push_back(error.pointer);
  return pointers;
}

TEST(EncodeSpec, AcceptsAnOutputWithoutAPreset) {
  std::vector<FieldError> errors;
  const EncodeSpec spec =
      ParseEncodeSpec(nlohmann::json::array({GoodOutput()}), nullptr, MapPresets(), errors);
  ASSERT_TRUE(errors.empty());
  ASSERT_EQ(spec.outputs.size(), 1U);
  EXPECT_EQ(spec.outputs[0].video->height_px, 720);
  EXPECT_EQ(spec.outputs[0].video->speed, "medium");
}

TEST(EncodeSpec, WritesTheDefaultQualityIntoTheFrozenSpec) {
  for (const auto& [codec, crf] :
       std::map<std::string, double>{{"h264", 23}, {"hevc", 26}, {"vp9", 32}, {"av1", 35}}) {
    nlohmann::json output = GoodOutput();
    output["video"] = {{"codec", codec}};
    std::vector<FieldError> errors;
    const EncodeSpec spec =
        ParseEncodeSpec(nlohmann::json::array({output}), nullptr, MapPresets(), errors);
    ASSERT_TRUE(errors.empty()) << codec;
    EXPECT_EQ(spec.outputs[0].video->crf, crf) << codec;
  }
}

TEST(EncodeSpec, MergesARequestOverItsPreset) {
  const MapPresets presets({{"web-720p",
                             {{"description", "For the web"},
                              {"container", "mp4"},
                              {"video", {{"codec", "h264"}, {"height", 720}, {"crf", 23}}},
                              {"audio", {{"codec", "aac"}}}}}});
  std::vector<FieldError> errors;
  const EncodeSpec spec = ParseEncodeSpec(
      {{{"name", "a"}, {"preset", "web-720p"}},
       {{"name", "b"}, {"preset", "web-720p"}, {"video", {{"crf", 18}}}, {"audio", nullptr}}},
      nullptr, presets, errors);
  ASSERT_TRUE(errors.empty());
  EXPECT_EQ(spec.outputs[0].preset, "web-720p");
  EXPECT_EQ(spec.outputs[0].video->crf, 23);
  EXPECT_EQ(spec.outputs[1].video->crf, 18);
  EXPECT_EQ(spec.outputs[1].video->height_px, 720);
  EXPECT_FALSE(spec.outputs[1].audio.has_value());
}

TEST(EncodeSpec, NamesAnUnknownPreset) {
  const auto errors = Errors({{{"name", "a"}, {"preset", "nope"}}});
  ASSERT_EQ(errors.size(), 1U);
  EXPECT_EQ(errors[0].pointer, "/outputs/0/preset");
  EXPECT_NE(errors[0].detail.find("nope"), std::string::npos);
}

TEST(EncodeSpec, ReadsBackItsFrozenForm) {
  nlohmann::json poster = {{"name", "poster"},
                           {"thumbnails", {{"count", 1}, {"format", "png"}, {"at_seconds", 2.5}}}};
  nlohmann::json remux = {{"name", "copy"},
                          {"container", "mkv"},
                          {"video", {{"codec", "copy"}}},
                          {"audio", {{"codec", "copy"}}}};
  nlohmann::json full = GoodOutput();
  full["video"].update({{"width", 1280},
                        {"bitrate", 2'000'000},
                        {"speed", "slow"},
                        {"gop_seconds", 2.5},
                        {"fps", 25}});
  full["audio"].update({{"bitrate", 96'000}, {"channels", 2}, {"sample_rate", 48'000}});
  const nlohmann::json clip = {{"start_seconds", 1}, {"duration_seconds", 2}};
  std::vector<FieldError> errors;
  const EncodeSpec spec = ParseEncodeSpec({poster, remux, full}, &clip, MapPresets(), errors);
  ASSERT_TRUE(errors.empty()) << errors[0].pointer << errors[0].detail;
  EXPECT_EQ(SpecFromJson(ToJson(spec)), spec);
}

struct WrongField {
  nlohmann::json patch;
  std::string pointer;

  friend void PrintTo(const WrongField& field, std::ostream* out) { *out << field.patch.dump(); }
};

class EachWrongField : public ::testing::TestWithParam<WrongField> {};

TEST_P(EachWrongField, IsNamedByItsPointer) {
  nlohmann::json output = GoodOutput();
  output.merge_patch(GetParam().patch);
  EXPECT_THAT(Pointers(Errors(nlohmann::json::array({output}))),
              ::testing::ElementsAre("/outputs/0" + GetParam().pointer))
      << output.dump();
}

INSTANTIATE_TEST_SUITE_P(
    Spec, EachWrongField,
    ::testing::Values(
        WrongField{{{"name", nullptr}}, "/name"}, WrongField{{{"name", ""}}, "/name"},
        WrongField{{{"name", "../up"}}, "/name"}, WrongField{{{"name", ".hidden"}}, "/name"},
        WrongField{{{"name", std::string(65, 'n')}}, "/name"},
        WrongField{{{"container", nullptr}}, "/container"},
        WrongField{{{"container", "avi"}}, "/container"},
        WrongField{{{"container", 4}}, "/container"},
        WrongField{{{"video", nullptr}, {"audio", nullptr}}, "/container"},
        WrongField{{{"container", "webm"}, {"audio", nullptr}}, "/video"},
        WrongField{{{"container", "webm"}, {"video", nullptr}}, "/audio"},
        WrongField{{{"container", "mp3"}, {"audio", {{"codec", "mp3"}}}}, "/video"},
        WrongField{{{"video", 7}}, "/video"},
        WrongField{{{"video", {{"codec", nullptr}}}}, "/video/codec"},
        WrongField{{{"video", {{"codec", "theora"}}}}, "/video/codec"},
        WrongField{{{"video", {{"height", 1}}}}, "/video/height"},
        WrongField{{{"video", {{"height", 720.5}}}}, "/video/height"},
        WrongField{{{"video", {{"width", 100'000}}}}, "/video/width"},
        WrongField{{{"video", {{"crf", 52}}}}, "/video/crf"},
        WrongField{{{"video", {{"crf", -1}}}}, "/video/crf"},
        WrongField{{{"video", {{"crf", 20}, {"bitrate", 1'000'000}}}}, "/video/bitrate"},
        WrongField{{{"video", {{"bitrate", 10}}}}, "/video/bitrate"},
        WrongField{{{"video", {{"speed", "warp"}}}}, "/video/speed"},
        WrongField{{{"video", {{"gop_seconds", 0}}}}, "/video/gop_seconds"},
        WrongField{{{"video", {{"fps", 0}}}}, "/video/fps"},
        WrongField{{{"video", {{"fps", "25"}}}}, "/video/fps"},
        WrongField{{{"video", {{"colour", "red"}}}}, "/video/colour"},
        WrongField{{{"video", {{"codec", "copy"}}}}, "/video/height"},
        WrongField{{{"audio", {{"codec", "wav"}}}}, "/audio/codec"},
        WrongField{{{"audio", {{"codec", nullptr}}}}, "/audio/codec"},
        WrongField{{{"audio", {{"bitrate", 1}}}}, "/audio/bitrate"},
        WrongField{{{"audio", {{"channels", 0}}}}, "/audio/channels"},
        WrongField{{{"audio", {{"codec", "mp3"}, {"channels", 6}}}}, "/audio/channels"},
        WrongField{{{"audio", {{"sample_rate", 1}}}}, "/audio/sample_rate"},
        WrongField{{{"audio", {{"codec", "opus"}, {"sample_rate", 44'100}}}}, "/audio/sample_rate"},
        WrongField{{{"audio", {{"codec", "mp3"}, {"sample_rate", 96'000}}}}, "/audio/sample_rate"},
        WrongField{{{"audio", {{"codec", "copy"}, {"channels", 2}}}}, "/audio/channels"},
        WrongField{{{"audio", {{"volume", 11}}}}, "/audio/volume"},
        WrongField{{{"thumbnails", {{"count", 1}}}}, "/thumbnails"},
        WrongField{{{"subtitles", true}}, "/subtitles"}));

TEST(EncodeSpec, NamesEachWrongFieldOfThumbnails) {
  const std::vector<std::pair<nlohmann::json, std::string>> cases = {
      {{{"count", 0}}, "count"},
      {{{"count", 501}}, "count"},
      {{{"format", "gif"}}, "format"},
      {{{"width", 0}}, "width"},
      {{{"height", "x"}}, "height"},
      {{{"at_seconds", -1}}, "at_seconds"},
      {{{"count", 2}, {"at_seconds", 1}}, "at_seconds"},
      {{{"sprite", true}}, "sprite"}};
  for (const auto& [thumbnails, field] : cases) {
    EXPECT_THAT(Pointers(Errors({{{"name", "t"}, {"thumbnails", thumbnails}}})),
                ::testing::ElementsAre("/outputs/0/thumbnails/" + field));
  }
}

TEST(EncodeSpec, NamesEachWrongFieldOfAClip) {
  const nlohmann::json outputs = nlohmann::json::array({GoodOutput()});
  const std::vector<std::pair<nlohmann::json, std::string>> cases = {
      {{{"start_seconds", -1}}, "/clip/start_seconds"},
      {{{"duration_seconds", 0}}, "/clip/duration_seconds"},
      {{{"end_seconds", 3}}, "/clip/end_seconds"},
      {7, "/clip"}};
  for (const auto& [clip, pointer] : cases) {
    EXPECT_THAT(Pointers(Errors(outputs, clip)), ::testing::ElementsAre(pointer));
  }
}

TEST(EncodeSpec, RefusesMoreThumbnailsThanOneReportCanName) {
  nlohmann::json outputs = nlohmann::json::array();
  for (const char* name : {"a", "b"}) {
    outputs.push_back({{"name", name}, {"thumbnails", {{"count", 500}}}});
  }
  EXPECT_TRUE(Errors(outputs).empty());
  outputs.push_back({{"name", "c"}, {"thumbnails", {{"count", 1}}}});
  EXPECT_THAT(Pointers(Errors(outputs)), ::testing::ElementsAre("/outputs"));
}

TEST(EncodeSpec, RefusesTwoOutputsWithTheSameName) {
  EXPECT_THAT(Pointers(Errors({GoodOutput(), GoodOutput()})),
              ::testing::ElementsAre("/outputs/1/name"));
}

TEST(EncodeSpec, RefusesNoOutputsAndTooMany) {
  EXPECT_THAT(Pointers(Errors(nlohmann::json::array())), ::testing::ElementsAre("/outputs"));
  EXPECT_THAT(Pointers(Errors("web")), ::testing::ElementsAre("/outputs"));
  nlohmann::json many = nlohmann::json::array();
  for (size_t i = 0; i <= kMaxOutputs; ++i) many.push_back(GoodOutput());
  EXPECT_THAT(Pointers(Errors(many)), ::testing::ElementsAre("/outputs"));
}

TEST(EncodeSpec, ListsTheKnownNamesForAnUnknownOne) {
  const auto errors =
      Errors({{{"name", "a"}, {"container", "avi"}, {"video", {{"codec", "h264"}}}}});
  ASSERT_EQ(errors.size(), 1U);
  EXPECT_EQ(errors[0].detail, "'avi' is not one of: mp4, webm, mkv, m4a, mp3, ogg");
}

}  // namespace
}  // namespace millrace
