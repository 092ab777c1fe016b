#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace millrace::chaos {

// Splits one direction of a ZMTP 3 connection (https://rfc.zeromq.org/spec/23, mechanism NULL) into
// units that can be dropped, repeated or inserted without breaking the stream.
class ZmtpStream {
 public:
  struct Unit {
    std::string bytes;        // as received, framing included
    bool is_message = false;  // all frames of one message; else a command or part of the greeting
  };

  void Feed(std::string_view bytes) { pending_ += bytes; }
  // Returns the next whole unit; nullopt: more bytes are needed.
  std::optional<Unit> Next();

 private:
  size_t greeting_left_ = 64;
  std::string pending_;
};

}  // namespace millrace::chaos
