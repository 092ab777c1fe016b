#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/base/unique_fd.h"
#include "core/model/job.h"

namespace millrace::broker {

// Keeps the percentages that clients have seen across the death of the broker, so that none of them
// ever falls. An append-only file of lines "<job> <generation> <percent>"; the last line of a job
// counts, a torn one does not. Survives a kill, and need not survive a power cut. Owned by the
// broker's loop.
//
// A file that cannot be written is a warning in the log, once, and no error: a percentage may then
// fall after a restart.
class ProgressLog {
 public:
  // Reads the file of an earlier broker.
  explicit ProgressLog(std::filesystem::path file);

  // Returns the percentages shown of these jobs in their current generation, and forgets all
  // others.
  std::map<std::string, int> ShownOf(const std::vector<Job>& jobs);

  // Remembers a percentage that is about to be shown. Call Flush() before it goes out.
  void Note(const std::string& job_id, int generation, int percent);
  // The job has ended.
  void Forget(const std::string& job_id);
  void Flush();

 private:
  struct Shown {
    int generation = 1;
    int percent = 0;

    bool operator==(const Shown&) const = default;
  };

  void Read();
  void ReadLine(std::string_view line);
  // Writes a file that holds the last line of each job, in place of the old one.
  void Compact();
  void Append(std::string_view text);
  void Warn(const std::string& detail);

  const std::filesystem::path path_;
  UniqueFd file_;
  size_t bytes_ = 0;
  size_t compacted_bytes_ = 0;  // when it was made
  std::unordered_map<std::string, Shown> shown_;
  std::string unwritten_;
  bool warned_ = false;
};

}  // namespace millrace::broker
