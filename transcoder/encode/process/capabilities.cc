#include "transcoder/encode/process/capabilities.h"

#include <cstring>
#include <string>

#include "core/base/log.h"
#include "core/model/encode_spec.h"
#include "transcoder/encode/base/ffmpeg_log.h"
#include "transcoder/encode/stages/encoders.h"

extern "C" {
#include <libavfilter/avfilter.h>
#include <libavutil/avutil.h>
#include <libswresample/swresample.h>
#include <libswscale/swscale.h>
}

namespace millrace::encode {
namespace {

constexpr int kTinyPx = 64;

FramePtr GreyPicture() {
  FramePtr frame = MakeFrame();
  frame->format = AV_PIX_FMT_YUV420P;
  frame->width = kTinyPx;
  frame->height = kTinyPx;
  frame->pts = 0;
  Check(av_frame_get_buffer(frame.get(), 0), "make a picture");
  for (int plane = 0; plane < 3; ++plane) {
    const int rows = plane == 0 ? kTinyPx : kTinyPx / 2;
    std::memset(frame->data[plane], 128,
                static_cast<size_t>(frame->linesize[plane]) * static_cast<size_t>(rows));
  }
  return frame;
}

FramePtr Silence(const AVCodec& encoder) {
  FramePtr frame = MakeFrame();
  frame->format = PreferredSampleFormat(encoder);
  frame->sample_rate = 48000;
  frame->nb_samples = FrameSizeOf(encoder, frame->sample_rate);
  frame->pts = 0;
  av_channel_layout_default(&frame->ch_layout, 2);
  Check(av_frame_get_buffer(frame.get(), 0), "make silence");
  av_samples_set_silence(frame->extended_data, 0, frame->nb_samples, 2,
                         static_cast<AVSampleFormat>(frame->format));
  return frame;
}

void EncodeOne(AVCodecContext& codec, const AVFrame& frame) {
  Check(avcodec_send_frame(&codec, &frame), "encode");
  Check(avcodec_send_frame(&codec, nullptr), "encode");
  const PacketPtr packet = MakePacket();
  Check(avcodec_receive_packet(&codec, packet.get()), "encode");
}

void Try(VideoCodec codec) {
  const FramePtr picture = GreyPicture();
  VideoSpec spec{.codec = codec};
  spec.crf = 30;
  spec.speed = AllSpeeds().front().name;
  const CodecPtr opened = OpenVideoEncoder(
      *picture, {.spec = spec, .time_base = {1, 25}, .frame_rate = {25, 1}, .threads = 1});
  EncodeOne(*opened, *picture);
}

void Try(AudioCodec codec) {
  const FramePtr silence = Silence(FindEncoder(codec));
  const CodecPtr opened = OpenAudioEncoder(*silence, {.spec = {.codec = codec}});
  EncodeOne(*opened, *silence);
}

template <typename Attempt>
void AddIfItWorks(nlohmann::json& encoders, std::string_view name, Attempt attempt) {
  try {
    attempt();
    encoders.push_back(name);
  } catch (const Error& error) {
    LogWarning("an encoder does not work", {{"codec", name}, {"error", error.what()}});
  }
}

std::string VersionText(unsigned version) {
  return std::to_string(AV_VERSION_MAJOR(version)) + "." +
         std::to_string(AV_VERSION_MINOR(version)) + "." +
         std::to_string(AV_VERSION_MICRO(version));
}

}  // namespace

nlohmann::json Capabilities() {
  // Mutes the encoders, which introduce themselves at length. Failures are logged here.
  const MutedFfmpegLog muted;
  nlohmann::json encoders = nlohmann::json::array();
  for (const VideoCodecTraits& codec : AllVideoCodecs()) {
    if (codec.encoder != nullptr) AddIfItWorks(encoders, codec.name, [&] { Try(codec.codec); });
  }
  for (const AudioCodecTraits& codec : AllAudioCodecs()) {
    if (codec.encoder != nullptr) AddIfItWorks(encoders, codec.name, [&] { Try(codec.codec); });
  }
  return {{"encoders", encoders},
          {"versions",
           {{"ffmpeg", av_version_info()},
            {"libavcodec", VersionText(avcodec_version())},
            {"libavformat", VersionText(avformat_version())},
            {"libavfilter", VersionText(avfilter_version())},
            {"libavutil", VersionText(avutil_version())},
            {"libswscale", VersionText(swscale_version())},
            {"libswresample", VersionText(swresample_version())}}},
          {"build", MILLRACE_VERSION}};
}

}  // namespace millrace::encode
