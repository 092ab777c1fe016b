#include "transcoder/encode/stages/encoders.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <thread>

extern "C" {
#include <libavutil/mastering_display_metadata.h>
#include <libavutil/opt.h>
}

namespace millrace::encode {
namespace {

using enum ErrorCode;

const AVCodec& FindByName(const char* name) {
  if (name == nullptr) throw Error(kInternal, "a stream that is copied has no encoder");
  const AVCodec* found = avcodec_find_encoder_by_name(name);
  if (found != nullptr) return *found;
  throw Error(kEncoderUnavailable, std::string("the encoder ") + name + " is not built in",
              {{"stage", "encode"}, {"encoder", name}});
}

int Processors() { return std::max(1, static_cast<int>(std::thread::hardware_concurrency())); }

template <typename T>
const T* SideData(const AVFrame& frame, AVFrameSideDataType kind) {
  const AVFrameSideData* found = av_frame_get_side_data(&frame, kind);
  if (found == nullptr || found->size < sizeof(T)) return nullptr;
  return static_cast<const T*>(static_cast<const void*>(found->data));
}

// x265 takes HDR10's metadata as text only: chromaticities in 1/50000, luminance in 1/10000 cd/m².
std::string HdrParametersForX265(const AVFrame& frame) {
  std::string text;
  if (const auto* display =
          SideData<AVMasteringDisplayMetadata>(frame, AV_FRAME_DATA_MASTERING_DISPLAY_METADATA);
      display != nullptr && display->has_primaries != 0 && display->has_luminance != 0) {
    auto at = [](AVRational value, double scale) { return std::llround(av_q2d(value) * scale); };
    const auto& rgb = display->display_primaries;
    text += fmt::format(":master-display=G({},{})B({},{})R({},{})WP({},{})L({},{})",
                        at(rgb[1][0], 50000), at(rgb[1][1], 50000), at(rgb[2][0], 50000),
                        at(rgb[2][1], 50000), at(rgb[0][0], 50000), at(rgb[0][1], 50000),
                        at(display->white_point[0], 50000), at(display->white_point[1], 50000),
                        at(display->max_luminance, 10000), at(display->min_luminance, 10000));
  }
  if (const auto* light =
          SideData<AVContentLightMetadata>(frame, AV_FRAME_DATA_CONTENT_LIGHT_LEVEL)) {
    text += fmt::format(":max-cll={},{}", light->MaxCLL, light->MaxFALL);
  }
  if (frame.color_trc == AVCOL_TRC_SMPTE2084) text += ":hdr10=1";
  return text;
}

void SetQuality(const VideoSpec& spec, AVCodecContext& codec, Options& options) {
  if (spec.bitrate_bps) {
    codec.bit_rate = *spec.bitrate_bps;
    return;
  }
  options.Set("crf", fmt::format("{:g}", spec.crf.value_or(23)));
}

// libvpx and SVT-AV1 count quality in whole steps.
void SetWholeQuality(const VideoSpec& spec, AVCodecContext& codec, Options& options) {
  if (spec.bitrate_bps) {
    codec.bit_rate = *spec.bitrate_bps;
    return;
  }
  codec.bit_rate = 0;
  options.Set("crf", static_cast<int64_t>(std::lround(spec.crf.value_or(32))));
}

void ConfigureH264(const VideoEncoderOptions& asked, AVCodecContext& codec, Options& options) {
  SetQuality(asked.spec, codec, options);
  options.Set("preset", asked.spec.speed);
  options.Set("forced-idr", int64_t{1});
  codec.thread_count = asked.threads;
}

void ConfigureHevc(const VideoEncoderOptions& asked, const AVFrame& first, AVCodecContext& codec,
                   Options& options) {
  SetQuality(asked.spec, codec, options);
  options.Set("preset", asked.spec.speed);
  options.Set("forced-idr", int64_t{1});
  // Quietens x265, which writes to standard error by itself and warns of every small picture.
  std::string parameters = "log-level=error";
  if (asked.threads > 0) parameters += fmt::format(":pools={}", asked.threads);
  if (asked.spec.gop_seconds) parameters += ":open-gop=0";
  options.Set("x265-params", parameters + HdrParametersForX265(first));
}

void ConfigureVp9(const VideoEncoderOptions& asked, AVCodecContext& codec, Options& options) {
  SetWholeQuality(asked.spec, codec, options);
  options.Set("deadline", std::string("good"));
  options.Set("cpu-used", int64_t{SpeedNamed(asked.spec.speed).vp9_cpu_used});
  options.Set("row-mt", int64_t{1});
  options.Set("auto-alt-ref", int64_t{1});
  options.Set("lag-in-frames", int64_t{25});
  // Tiles are at least 256 pixels wide; as many as fit, up to 16.
  const int columns = std::clamp(static_cast<int>(std::log2(codec.width / 256.0)), 0, 4);
  options.Set("tile-columns", int64_t{columns});
  codec.thread_count = std::min(asked.threads > 0 ? asked.threads : Processors(), 16);
}

void ConfigureAv1(const VideoEncoderOptions& asked, AVCodecContext& codec, Options& options) {
  SetWholeQuality(asked.spec, codec, options);
  options.Set("preset", int64_t{SpeedNamed(asked.spec.speed).svt_preset});
  if (asked.threads > 0) options.Set("svtav1-params", fmt::format("lp={}", asked.threads));
}

void TakeOver(const AVFrame& first, const VideoEncoderOptions& asked, AVCodecContext& codec) {
  codec.width = first.width;
  codec.height = first.height;
  codec.pix_fmt = static_cast<AVPixelFormat>(first.format);
  codec.sample_aspect_ratio = {1, 1};
  codec.color_primaries = first.color_primaries;
  codec.color_trc = first.color_trc;
  codec.colorspace = first.colorspace;
  codec.color_range = first.color_range;
  codec.chroma_sample_location = first.chroma_location;
  codec.time_base = asked.time_base;
  codec.framerate = asked.frame_rate;
}

void CheckSize(const AVFrame& first, const VideoCodecTraits& codec) {
  if (std::min(first.width, first.height) >= codec.min_side_px) return;
  throw Error(kNoMatchingStreams,
              fmt::format("{0} needs a picture of at least {1} x {1} pixels, this has {2} x {3}",
                          codec.name, codec.min_side_px, first.width, first.height),
              {{"stage", "encode"}, {"encoder", codec.encoder}});
}

void SetGop(const VideoEncoderOptions& asked, AVCodecContext& codec) {
  if (!asked.spec.gop_seconds) return;
  // Tells the encoder's look-ahead; EncodeStage places keyframes by time.
  const double fps = asked.frame_rate.num > 0 ? av_q2d(asked.frame_rate) : 30;
  codec.gop_size = std::max(1, static_cast<int>(std::ceil(*asked.spec.gop_seconds * fps)));
}

void Open(AVCodecContext& codec, const AVCodec& encoder, Options& options) {
  Check(avcodec_open2(&codec, &encoder, options.get()),
        std::string("open the encoder ") + encoder.name, kEncoderUnavailable);
  options.CheckAllTaken(encoder.name);
}

}  // namespace

const AVCodec& FindEncoder(VideoCodec codec) { return FindByName(TraitsOf(codec).encoder); }
const AVCodec& FindEncoder(AudioCodec codec) { return FindByName(TraitsOf(codec).encoder); }

CodecPtr OpenVideoEncoder(const AVFrame& first, const VideoEncoderOptions& asked) {
  const AVCodec& encoder = FindEncoder(asked.spec.codec);
  CheckSize(first, TraitsOf(asked.spec.codec));
  CodecPtr codec = MakeCodec(encoder);
  TakeOver(first, asked, *codec);
  SetGop(asked, *codec);
  codec->flags |= AV_CODEC_FLAG_BITEXACT;
  if (asked.global_header) codec->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
  Options options;
  switch (asked.spec.codec) {
    case VideoCodec::kH264:
      ConfigureH264(asked, *codec, options);
      break;
    case VideoCodec::kHevc:
      ConfigureHevc(asked, first, *codec, options);
      break;
    case VideoCodec::kVp9:
      ConfigureVp9(asked, *codec, options);
      break;
    case VideoCodec::kAv1:
      ConfigureAv1(asked, *codec, options);
      break;
    case VideoCodec::kCopy:
      break;
  }
  Open(*codec, encoder, options);
  return codec;
}

CodecPtr OpenAudioEncoder(const AVFrame& first, const AudioEncoderOptions& asked) {
  const AVCodec& encoder = FindEncoder(asked.spec.codec);
  CodecPtr codec = MakeCodec(encoder);
  codec->sample_rate = first.sample_rate;
  codec->sample_fmt = static_cast<AVSampleFormat>(first.format);
  Check(av_channel_layout_copy(&codec->ch_layout, &first.ch_layout), "copy a channel layout");
  codec->time_base = {1, first.sample_rate};
  codec->bit_rate = asked.spec.bitrate_bps.value_or(
      DefaultBitrateOf(asked.spec.codec, first.ch_layout.nb_channels));
  codec->flags |= AV_CODEC_FLAG_BITEXACT;
  if (asked.global_header) codec->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
  Options options;
  Open(*codec, encoder, options);
  return codec;
}

AVSampleFormat PreferredSampleFormat(const AVCodec& encoder) {
  const std::span<const AVSampleFormat> formats = SampleFormatsOf(encoder);
  return formats.empty() ? AV_SAMPLE_FMT_FLTP : formats.front();
}

int FrameSizeOf(const AVCodec& encoder, int sample_rate_hz) {
  switch (encoder.id) {
    case AV_CODEC_ID_AAC:
      return 1024;
    // MPEG-1 layer III has 1152 samples a frame, the low rates of MPEG-2 and 2.5 have 576.
    case AV_CODEC_ID_MP3:
      return sample_rate_hz >= 32000 ? 1152 : 576;
    case AV_CODEC_ID_OPUS:
      return sample_rate_hz / 50;
    default:
      return 0;
  }
}

AVRational FineTimeBase(AVRational input, std::optional<double> fps) {
  if (fps) return av_inv_q(av_d2q(*fps, 100'000));
  constexpr int kFine = 10'000;
  constexpr int kMaxDenominator = 1'000'000;
  int denominator = input.den;
  if (denominator <= 0 || denominator > kMaxDenominator) return {1, 90000};
  while (denominator < kFine) denominator *= 2;
  return {1, denominator};
}

}  // namespace millrace::encode
