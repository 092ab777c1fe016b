#pragma once

#include <filesystem>

namespace millrace::cli {

struct VerifyOptions {
  std::filesystem::path data_dir = "millrace-data";
  std::filesystem::path programs_dir;  // empty: beside this program
  bool json = false;
};

// Replaces this process by `millrace-broker --verify`, which prints the findings and exits with 0
// if all is well, 1 if something is wrong, and 2 if the check could not be made. Throws
// Error{kInternal} if the broker's program cannot be run.
int RunVerify(const VerifyOptions& options);

}  // namespace millrace::cli
