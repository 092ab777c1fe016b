#include "transcoder/ffmpeg.h"

#include <array>
#include <cerrno>

namespace millrace::encode {
namespace {

template <typename T>
T* OrOutOfMemory(T* made) {
  if (made == nullptr) throw Error(ErrorCode::kOutOfMemory, "FFmpeg could not allocate memory");
  return made;
}

ErrorCode CodeOf(int rc, ErrorCode otherwise) {
  switch (rc) {
    case AVERROR(ENOMEM):
      return ErrorCode::kOutOfMemory;
    case AVERROR(ENOSPC):
    case AVERROR(EDQUOT):
      return ErrorCode::kWorkerDiskFull;
    default:
      return otherwise;
  }
}

}  // namespace

PacketPtr MakePacket() { return PacketPtr(OrOutOfMemory(av_packet_alloc())); }
FramePtr MakeFrame() { return FramePtr(OrOutOfMemory(av_frame_alloc())); }
PacketPtr Share(const AVPacket& packet) {
  return PacketPtr(OrOutOfMemory(av_packet_clone(&packet)));
}
FramePtr Share(const AVFrame& frame) { return FramePtr(OrOutOfMemory(av_frame_clone(&frame))); }
CodecPtr MakeCodec(const AVCodec& codec) {
  return CodecPtr(OrOutOfMemory(avcodec_alloc_context3(&codec)));
}
GraphPtr MakeGraph() { return GraphPtr(OrOutOfMemory(avfilter_graph_alloc())); }

ParametersPtr CopyOf(const AVCodecParameters& parameters) {
  ParametersPtr copy(OrOutOfMemory(avcodec_parameters_alloc()));
  Check(avcodec_parameters_copy(copy.get(), &parameters), "copy codec parameters");
  return copy;
}

void Options::Set(const char* key, const std::string& value) {
  Check(av_dict_set(&dictionary_, key, value.c_str(), 0), "set an option");
}

void Options::Set(const char* key, int64_t value) {
  Check(av_dict_set_int(&dictionary_, key, value, 0), "set an option");
}

void Options::CheckAllTaken(const char* by) const {
  const AVDictionaryEntry* left = av_dict_get(dictionary_, "", nullptr, AV_DICT_IGNORE_SUFFIX);
  if (left == nullptr) return;
  throw Error(ErrorCode::kInternal, std::string(by) + " knows no option " + left->key);
}

ChannelLayout::ChannelLayout(const AVChannelLayout& layout) {
  Check(av_channel_layout_copy(&layout_, &layout), "copy a channel layout");
}

ChannelLayout& ChannelLayout::operator=(const ChannelLayout& other) {
  Check(av_channel_layout_copy(&layout_, &other.layout_), "copy a channel layout");
  return *this;
}

std::string ChannelLayout::Name() const {
  std::array<char, 128> text{};
  av_channel_layout_describe(&layout_, text.data(), text.size());
  return text.data();
}

std::string ErrorText(int rc) {
  std::array<char, AV_ERROR_MAX_STRING_SIZE> text{};
  av_strerror(rc, text.data(), text.size());
  return text.data();
}

int Check(int rc, std::string_view what, ErrorCode code) {
  if (rc >= 0) return rc;
  throw Error(CodeOf(rc, code), std::string(what) + ": " + ErrorText(rc), {{"ffmpeg_error", rc}});
}

double ToSeconds(int64_t timestamp, AVRational time_base) {
  return static_cast<double>(timestamp) * av_q2d(time_base);
}

}  // namespace millrace::encode

#if defined(__SANITIZE_ADDRESS__)
// Libx265 3.5 never frees the row buffers of its frame filters, and we cannot.
extern "C" const char* __lsan_default_suppressions() { return "leak:libx265"; }
#endif
