#include "core/model/encode_spec.h"

namespace millrace {

std::string_view NameOf(Container container) {
  switch (container) {
    case Container::kMp4:
      return "mp4";
    case Container::kWebm:
      return "webm";
    case Container::kMkv:
      return "mkv";
    case Container::kM4a:
      return "m4a";
    case Container::kMp3:
      return "mp3";
    case Container::kOgg:
      return "ogg";
  }
  return "";
}

std::string_view NameOf(VideoCodec codec) {
  switch (codec) {
    case VideoCodec::kCopy:
      return "copy";
    case VideoCodec::kH264:
      return "h264";
    case VideoCodec::kHevc:
      return "hevc";
    case VideoCodec::kVp9:
      return "vp9";
    case VideoCodec::kAv1:
      return "av1";
  }
  return "";
}

std::string_view NameOf(AudioCodec codec) {
  switch (codec) {
    case AudioCodec::kCopy:
      return "copy";
    case AudioCodec::kAac:
      return "aac";
    case AudioCodec::kOpus:
      return "opus";
    case AudioCodec::kMp3:
      return "mp3";
  }
  return "";
}

std::string_view NameOf(ImageFormat format) {
  return format == ImageFormat::kJpeg ? "jpeg" : "png";
}

std::string_view ExtensionOf(Container container) { return NameOf(container); }

std::string_view ExtensionOf(ImageFormat format) {
  return format == ImageFormat::kJpeg ? "jpg" : "png";
}

std::string_view MediaTypeOf(Container container, bool has_video) {
  switch (container) {
    case Container::kMp4:
      return has_video ? "video/mp4" : "audio/mp4";
    case Container::kWebm:
      return has_video ? "video/webm" : "audio/webm";
    case Container::kMkv:
      return has_video ? "video/x-matroska" : "audio/x-matroska";
    case Container::kM4a:
      return "audio/mp4";
    case Container::kMp3:
      return "audio/mpeg";
    case Container::kOgg:
      return "audio/ogg";
  }
  return "application/octet-stream";
}

std::string_view MediaTypeOf(ImageFormat format) {
  return format == ImageFormat::kJpeg ? "image/jpeg" : "image/png";
}

bool CanCarry(Container container, VideoCodec codec) {
  switch (container) {
    case Container::kMp4:
    case Container::kMkv:
      return true;
    case Container::kWebm:
      return codec == VideoCodec::kVp9 || codec == VideoCodec::kAv1 || codec == VideoCodec::kCopy;
    case Container::kM4a:
    case Container::kMp3:
    case Container::kOgg:
      return false;
  }
  return false;
}

bool CanCarry(Container container, AudioCodec codec) {
  if (codec == AudioCodec::kCopy) return true;
  switch (container) {
    case Container::kMp4:
    case Container::kMkv:
      return true;
    case Container::kWebm:
    case Container::kOgg:
      return codec == AudioCodec::kOpus;
    case Container::kM4a:
      return codec == AudioCodec::kAac;
    case Container::kMp3:
      return codec == AudioCodec::kMp3;
  }
  return false;
}

}  // namespace millrace
