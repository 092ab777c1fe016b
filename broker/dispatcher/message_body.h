#pragma once

#include <string>

#include "core/base/error.h"
#include "core/model/message.h"

namespace millrace::broker {

[[noreturn]] inline void RefuseBody(const Message& message, const std::string& why) {
  throw Error(ErrorCode::kProtocolError, message.type + ": " + why);
}

// Reads a message's body. Throws Error{kProtocolError} naming a field that is missing or wrong.
template <typename Read>
auto ReadBody(const Message& message, Read read) {
  try {
    return read(message.body);
  } catch (const nlohmann::json::exception& error) {
    RefuseBody(message, error.what());
  }
}

}  // namespace millrace::broker
