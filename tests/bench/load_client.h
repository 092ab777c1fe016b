#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace millrace::bench {

struct LoadOptions {
  std::string host;  // an IPv4 address
  int port = 0;
  std::string path;
  std::string body;  // JSON; the same in every request
  int expected_status = 202;
  int connections = 64;
  std::chrono::milliseconds duration{5'000};
  size_t limit = 0;  // requests after which it ends earlier; 0: none
  // Requests per second of all connections together; unset: each repeats as soon as it is answered.
  std::optional<double> rate;
};

struct LoadResult {
  size_t answered = 0;  // as expected
  size_t refused = 0;   // with another status
  double seconds = 0;   // from the first request to the last answer
  // The time from the moment a request was due, which may be before it could be sent, to the last
  // byte of its answer.
  std::vector<double> latencies_ms;
};

// Repeats one POST over keep-alive connections, from one thread with epoll, so that the client
// takes little of the machine that it measures. Throws std::runtime_error if a connection breaks or
// the service stops answering.
LoadResult RunLoad(const LoadOptions& options);

}  // namespace millrace::bench
