#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/base/error.h"
#include "core/model/message.h"
#include "core/model/task.h"

namespace millrace::worker {

// What an encoder process says on its report pipe: one JSON object a line. It may have been taken
// over by a hostile file, so nothing it writes can do more than fail its own task.

struct ReportStarted {};
struct ReportMedia {
  nlohmann::json media;
};
struct ReportResult {
  Manifest manifest;
};
using Report = std::variant<ReportStarted, ReportMedia, Progress, ReportResult, Error>;

// What a worker passes on in one message together with what its other encoders say, or walks down
// while it copies and prints it.
inline constexpr int kMaxReportDepth = kMaxBodyDepth / 2;
inline constexpr size_t kMaxMediaBytes = kMaxBodyBytes / 8;  // facts of an input, as JSON
inline constexpr size_t kMaxProgressBytes = 64 * 1024;       // a report of progress
inline constexpr size_t kMaxEndBytes = kMaxBodyBytes / 2;    // a manifest or an error, as JSON

// Throws Error{kProtocolError} saying what is wrong with the line, or that it is larger or nested
// deeper than the limits above.
Report ParseReport(std::string_view line);

// Cuts a stream of bytes into lines. Holds at most one line of kMaxReportLineBytes; what is longer
// could not be passed on to the broker either, and is dropped and counted. One owner, one thread.
inline constexpr size_t kMaxReportLineBytes = kMaxBodyBytes / 2;
class LineSplitter {
 public:
  // Returns the lines that these bytes complete, without their newlines and without empty ones.
  std::vector<std::string> Feed(std::span<const char> bytes);
  // Lines dropped for their length so far.
  int dropped() const { return dropped_; }

 private:
  std::string partial_;
  bool skipping_ = false;  // within a line that is being dropped
  int dropped_ = 0;
};

}  // namespace millrace::worker
