#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace millrace {

// Everything that Millrace knows of the codecs, containers and picture formats that a spec can ask
// for, one row each. A new codec or container is a new enumerator here and a new row in traits.cc;
// parser, planner, worker and encoder read the tables. How an encoder is configured is the
// transcoder's (transcoder/encode/stages/encoders.cc).

enum class Container { kMp4, kWebm, kMkv, kM4a, kMp3, kOgg };
enum class VideoCodec { kCopy, kH264, kHevc, kVp9, kAv1 };
enum class AudioCodec { kCopy, kAac, kOpus, kMp3 };
enum class ImageFormat { kJpeg, kPng };

struct VideoCodecTraits {
  VideoCodec codec{};
  std::string_view name;  // in specs, and FFmpeg's name of the codec
  const char* encoder{};  // FFmpeg's; null for kCopy
  // Constant quality, on a scale from 0 (best) to max_crf.
  double default_crf = 0;
  double max_crf = 0;
  bool keeps_depth = false;  // carries more than 8 bits, and HDR, as we encode it
  int min_side_px = 2;       // of the smallest picture that the encoder takes
  // Relative cost of one second, by the height h of the picture: cost + hd_cost * (h / 1080)².
  double cost = 0;
  double hd_cost = 0;
};

struct AudioCodecTraits {
  AudioCodec codec{};
  std::string_view name;
  const char* encoder{};
  int max_channels = 0;
  std::span<const int> sample_rates_hz;  // empty: any
  // Bit rates where a spec names none: of one channel, of two, and of each of more than two.
  int64_t mono_bps = 0;
  int64_t stereo_bps = 0;
  int64_t channel_bps = 0;
};

struct ContainerTraits {
  Container container{};
  std::string_view name;              // in specs, and the extension of file names
  const char* muxer{};                // libavformat's
  std::string_view video_media_type;  // empty: takes no pictures
  std::string_view audio_media_type;  // without pictures
  std::span<const VideoCodec> video;  // what it takes
  std::span<const AudioCodec> audio;
  bool is_mov = false;  // an ISO base media file: it has an index and edit lists
  bool has_chapters = true;
};

struct ImageFormatTraits {
  ImageFormat format{};
  std::string_view name;
  std::string_view extension;
  std::string_view media_type;
  const char* encoder{};
};

// x264's words for speed, fastest first, and the nearest settings of the encoders that have others.
struct SpeedTraits {
  std::string_view name;
  int vp9_cpu_used = 0;
  int svt_preset = 0;
};
inline constexpr std::string_view kDefaultSpeed = "medium";

// In the order in which a message of error lists their names.
std::span<const VideoCodecTraits> AllVideoCodecs();
std::span<const AudioCodecTraits> AllAudioCodecs();
std::span<const ContainerTraits> AllContainers();
std::span<const ImageFormatTraits> AllImageFormats();
std::span<const SpeedTraits> AllSpeeds();

const VideoCodecTraits& TraitsOf(VideoCodec codec);
const AudioCodecTraits& TraitsOf(AudioCodec codec);
const ContainerTraits& TraitsOf(Container container);
const ImageFormatTraits& TraitsOf(ImageFormat format);
// Of kDefaultSpeed for a name that is not in the table.
const SpeedTraits& SpeedNamed(std::string_view name);

template <typename T>
requires requires(T thing) { TraitsOf(thing).name; }
std::string_view NameOf(T thing) { return TraitsOf(thing).name; }
// The media type for HTTP, e.g. "video/mp4"; `has_video` tells audio/webm from video/webm.
std::string_view MediaTypeOf(Container container, bool has_video);
bool CanCarry(Container container, VideoCodec codec);
bool CanCarry(Container container, AudioCodec codec);
int64_t DefaultBitrateOf(AudioCodec codec, int channels);

}  // namespace millrace
