#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace millrace::chaos {

// Takes one direction of a ZMTP 3 connection (https://rfc.zeromq.org/spec/23, mechanism NULL)
// apart into what may be dropped, repeated or put in between without breaking the stream.
class ZmtpStream {
 public:
  struct Unit {
    std::string bytes;        // as they came, framing included
    bool is_message = false;  // all frames of one message; else a command or some of the greeting
  };

  void Feed(std::string_view bytes) { pending_ += bytes; }
  // The next whole unit; nullopt: more bytes are needed.
  std::optional<Unit> Next();

 private:
  size_t greeting_left_ = 64;
  std::string pending_;
};

}  // namespace millrace::chaos
