#include "core/model/traits.h"

#include <algorithm>
#include <array>

namespace millrace {
namespace {

constexpr auto kVideoCodecs = std::to_array<VideoCodecTraits>({
    {.codec = VideoCodec::kH264,
     .name = "h264",
     .encoder = "libx264",
     .default_crf = 23,
     .max_crf = 51,
     .keeps_depth = false,
     .cost = 5,
     .hd_cost = 20},
    {.codec = VideoCodec::kHevc,
     .name = "hevc",
     .encoder = "libx265",
     .default_crf = 26,
     .max_crf = 51,
     .keeps_depth = true,
     .cost = 60},
    {.codec = VideoCodec::kVp9,
     .name = "vp9",
     .encoder = "libvpx-vp9",
     .default_crf = 32,
     .max_crf = 63,
     .keeps_depth = true,
     .cost = 60},
    {.codec = VideoCodec::kAv1,
     .name = "av1",
     .encoder = "libsvtav1",
     .default_crf = 35,
     .max_crf = 63,
     .keeps_depth = true,
     .min_side_px = 64,
     .cost = 50},
    // The scale is one that no copy reads: a crf beside "copy" is refused for what it is.
    {.codec = VideoCodec::kCopy, .name = "copy", .max_crf = 51, .keeps_depth = true, .cost = 0.5},
});

constexpr auto kOpusRates = std::to_array<int>({8000, 12000, 16000, 24000, 48000});
constexpr auto kMp3Rates =
    std::to_array<int>({8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000});

constexpr auto kAudioCodecs = std::to_array<AudioCodecTraits>({
    {.codec = AudioCodec::kAac,
     .name = "aac",
     .encoder = "aac",
     .max_channels = 8,
     .sample_rates_hz = {},
     .mono_bps = 96'000,
     .stereo_bps = 160'000,
     .channel_bps = 64'000},
    {.codec = AudioCodec::kOpus,
     .name = "opus",
     .encoder = "libopus",
     .max_channels = 8,
     .sample_rates_hz = kOpusRates,
     .mono_bps = 64'000,
     .stereo_bps = 96'000,
     .channel_bps = 48'000},
    {.codec = AudioCodec::kMp3,
     .name = "mp3",
     .encoder = "libmp3lame",
     .max_channels = 2,
     .sample_rates_hz = kMp3Rates,
     .mono_bps = 96'000,
     .stereo_bps = 192'000},
    {.codec = AudioCodec::kCopy, .name = "copy", .max_channels = 8, .sample_rates_hz = {}},
});

constexpr auto kAnyVideo = std::to_array(
    {VideoCodec::kCopy, VideoCodec::kH264, VideoCodec::kHevc, VideoCodec::kVp9, VideoCodec::kAv1});
constexpr auto kWebVideo = std::to_array({VideoCodec::kCopy, VideoCodec::kVp9, VideoCodec::kAv1});
constexpr auto kAnyAudio =
    std::to_array({AudioCodec::kCopy, AudioCodec::kAac, AudioCodec::kOpus, AudioCodec::kMp3});
constexpr auto kOpusOnly = std::to_array({AudioCodec::kCopy, AudioCodec::kOpus});
constexpr auto kAacOnly = std::to_array({AudioCodec::kCopy, AudioCodec::kAac});
constexpr auto kMp3Only = std::to_array({AudioCodec::kCopy, AudioCodec::kMp3});

constexpr auto kContainers = std::to_array<ContainerTraits>({
    {.container = Container::kMp4,
     .name = "mp4",
     .muxer = "mp4",
     .video_media_type = "video/mp4",
     .audio_media_type = "audio/mp4",
     .video = kAnyVideo,
     .audio = kAnyAudio,
     .is_mov = true},
    {.container = Container::kWebm,
     .name = "webm",
     .muxer = "webm",
     .video_media_type = "video/webm",
     .audio_media_type = "audio/webm",
     .video = kWebVideo,
     .audio = kOpusOnly},
    {.container = Container::kMkv,
     .name = "mkv",
     .muxer = "matroska",
     .video_media_type = "video/x-matroska",
     .audio_media_type = "audio/x-matroska",
     .video = kAnyVideo,
     .audio = kAnyAudio},
    {.container = Container::kM4a,
     .name = "m4a",
     .muxer = "ipod",
     .video_media_type = {},
     .audio_media_type = "audio/mp4",
     .video = {},
     .audio = kAacOnly,
     .is_mov = true},
    {.container = Container::kMp3,
     .name = "mp3",
     .muxer = "mp3",
     .video_media_type = {},
     .audio_media_type = "audio/mpeg",
     .video = {},
     .audio = kMp3Only},
    {.container = Container::kOgg,
     .name = "ogg",
     .muxer = "ogg",
     .video_media_type = {},
     .audio_media_type = "audio/ogg",
     .video = {},
     .audio = kOpusOnly,
     .has_chapters = false},
});

constexpr auto kImageFormats = std::to_array<ImageFormatTraits>({
    {ImageFormat::kJpeg, "jpeg", "jpg", "image/jpeg", "mjpeg"},
    {ImageFormat::kPng, "png", "png", "image/png", "png"},
});

constexpr auto kSpeeds = std::to_array<SpeedTraits>({
    {"ultrafast", 8, 12},
    {"superfast", 7, 11},
    {"veryfast", 6, 10},
    {"faster", 5, 9},
    {"fast", 4, 9},
    {"medium", 3, 8},
    {"slow", 2, 6},
    {"slower", 1, 4},
    {"veryslow", 0, 3},
});

}  // namespace

std::span<const VideoCodecTraits> AllVideoCodecs() { return kVideoCodecs; }
std::span<const AudioCodecTraits> AllAudioCodecs() { return kAudioCodecs; }
std::span<const ContainerTraits> AllContainers() { return kContainers; }
std::span<const ImageFormatTraits> AllImageFormats() { return kImageFormats; }
std::span<const SpeedTraits> AllSpeeds() { return kSpeeds; }

// Every enumerator has a row: tests/core/model/traits_test.cc.
const VideoCodecTraits& TraitsOf(VideoCodec codec) {
  return *std::ranges::find(kVideoCodecs, codec, &VideoCodecTraits::codec);
}

const AudioCodecTraits& TraitsOf(AudioCodec codec) {
  return *std::ranges::find(kAudioCodecs, codec, &AudioCodecTraits::codec);
}

const ContainerTraits& TraitsOf(Container container) {
  return *std::ranges::find(kContainers, container, &ContainerTraits::container);
}

const ImageFormatTraits& TraitsOf(ImageFormat format) {
  return *std::ranges::find(kImageFormats, format, &ImageFormatTraits::format);
}

const SpeedTraits& SpeedNamed(std::string_view name) {
  const auto* found = std::ranges::find(kSpeeds, name, &SpeedTraits::name);
  return found != kSpeeds.end() ? *found
                                : *std::ranges::find(kSpeeds, kDefaultSpeed, &SpeedTraits::name);
}

std::string_view MediaTypeOf(Container container, bool has_video) {
  const ContainerTraits& traits = TraitsOf(container);
  return has_video && !traits.video_media_type.empty() ? traits.video_media_type
                                                       : traits.audio_media_type;
}

bool CanCarry(Container container, VideoCodec codec) {
  const auto taken = TraitsOf(container).video;
  return std::ranges::find(taken, codec) != taken.end();
}

bool CanCarry(Container container, AudioCodec codec) {
  const auto taken = TraitsOf(container).audio;
  return std::ranges::find(taken, codec) != taken.end();
}

int64_t DefaultBitrateOf(AudioCodec codec, int channels) {
  const AudioCodecTraits& traits = TraitsOf(codec);
  if (channels <= 1) return traits.mono_bps;
  return channels == 2 ? traits.stereo_bps : traits.channel_bps * channels;
}

}  // namespace millrace
