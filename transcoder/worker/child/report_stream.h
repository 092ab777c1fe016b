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

// The lines of an encoder's report pipe: one JSON object each. A hostile file may have taken the
// encoder over, so nothing it writes can do more than fail its own task.

struct ReportStarted {};
struct ReportMedia {
  nlohmann::json media;
};
struct ReportResult {
  Manifest manifest;
};
using Report = std::variant<ReportStarted, ReportMedia, Progress, ReportResult, Error>;

// Limits on parts of a report, which a worker passes on in messages together with those of other
// encoders, and copies and prints recursively.
inline constexpr int kMaxReportDepth = kMaxBodyDepth / 2;
inline constexpr size_t kMaxMediaBytes = kMaxBodyBytes / 8;  // facts of an input, as JSON
inline constexpr size_t kMaxProgressBytes = 64 * 1024;       // a report of progress
inline constexpr size_t kMaxEndBytes = kMaxBodyBytes / 2;    // a manifest or an error, as JSON

// Throws Error{kProtocolError} saying what is wrong with the line, or that it is larger or nested
// deeper than the limits above.
Report ParseReport(std::string_view line);

// Cuts a stream of bytes into lines. Holds at most one line of kMaxReportLineBytes. Drops and
// counts longer lines, which could not be passed on to the broker either. One owner, one thread.
inline constexpr size_t kMaxReportLineBytes = kMaxBodyBytes / 2;
class LineSplitter {
 public:
  // Returns the lines that these bytes complete, without their newlines and without empty ones.
  std::vector<std::string> Feed(std::span<const char> bytes);
  // The number of lines dropped for their length so far.
  int dropped() const { return dropped_; }

 private:
  std::string partial_;
  bool skipping_ = false;  // within a line that is being dropped
  int dropped_ = 0;
};

}  // namespace millrace::worker
