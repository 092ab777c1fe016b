#include "core/model/message.h"

#include <algorithm>

#include "core/base/json_depth.h"
#include "core/base/json_text.h"

namespace millrace {
namespace {

constexpr size_t kFrames = 4;

[[noreturn]] void Refuse(const std::string& detail) {
  throw Error(ErrorCode::kProtocolError, detail);
}

bool IsPrintable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7f; });
}

}  // namespace

Frames EncodeMessage(const Message& message) {
  return {std::string(kProtocolVersion), message.type, message.id, ToText(message.body)};
}

Message DecodeMessage(const Frames& frames) {
  if (frames.size() != kFrames) {
    Refuse("a message has 4 frames, not " + std::to_string(frames.size()));
  }
  if (frames[0] != kProtocolVersion) {
    Refuse("this side speaks protocol version " + std::string(kProtocolVersion));
  }
  Message message;
  message.type = frames[1];
  if (message.type.empty() || message.type.size() > kMaxTypeBytes || !IsPrintable(message.type)) {
    Refuse("the type must have 1 to " + std::to_string(kMaxTypeBytes) + " printable bytes");
  }
  message.id = frames[2];
  if (message.id.size() > kMaxMessageIdBytes || !IsPrintable(message.id)) {
    Refuse("the message id must have at most " + std::to_string(kMaxMessageIdBytes) +
           " printable bytes");
  }
  if (frames[3].size() > kMaxBodyBytes) {
    Refuse("the body has more than " + std::to_string(kMaxBodyBytes) + " bytes");
  }
  if (JsonDepth(frames[3]) > kMaxBodyDepth) {
    Refuse("the body is nested deeper than " + std::to_string(kMaxBodyDepth) + " levels");
  }
  message.body = nlohmann::json::parse(frames[3], nullptr, /*allow_exceptions=*/false);
  if (message.body.is_discarded()) Refuse("the body is not JSON");
  if (!message.body.is_object()) Refuse("the body must be a JSON object");
  return message;
}

Message ErrorReply(const std::string& message_id, const Error& error) {
  return {.type = std::string(message::kError), .id = message_id, .body = ToJson(error)};
}

}  // namespace millrace
