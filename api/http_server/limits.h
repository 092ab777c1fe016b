#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace millrace::http {

// Bounds of what one client may cost the server. Every buffer that bytes of a client can fill has
// its bound here, and every wait for a client has its deadline here.
struct Limits {
  size_t head_bytes = 16 << 10;        // request line and header fields together: 414 or 431 beyond
  size_t header_fields = 100;          // 431 beyond
  size_t target_bytes = 8 << 10;       // 414 beyond
  size_t body_bytes = 1 << 20;         // a buffered body: 413 beyond
  uint64_t upload_bytes = 1ull << 40;  // a streamed body: 413 beyond
  // Pipelined requests wait here while an answer is in flight; beyond it the socket is not read, so
  // that the client is held back by TCP.
  size_t pipeline_bytes = 64 << 10;
  size_t stream_queue_bytes = 1 << 20;  // unsent bytes of a streamed answer
  size_t connections = 20000;           // 503 and closed beyond

  std::chrono::milliseconds header_timeout{10'000};       // first byte of a head to its last
  std::chrono::milliseconds body_idle_timeout{30'000};    // between two reads of a body
  std::chrono::milliseconds keep_alive_timeout{75'000};   // an idle connection
  std::chrono::milliseconds write_stall_timeout{60'000};  // an answer that the client does not read
  // After the last answer of a connection its input is still read and discarded for this long, or
  // the kernel would answer unread bytes with a reset that can destroy the answer on its way.
  std::chrono::milliseconds linger_timeout{2'000};
  std::chrono::milliseconds tick{250};  // how often deadlines are looked at
};

}  // namespace millrace::http
