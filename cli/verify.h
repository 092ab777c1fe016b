#pragma once

#include <filesystem>

namespace millrace::cli {

struct VerifyOptions {
  std::filesystem::path data_dir = "millrace-data";
  std::filesystem::path programs_dir;  // empty: beside this program
  bool json = false;
};

// Has millrace-broker check the data folder, in place of this program: what it prints and its exit
// status (0 all is well, 1 something is wrong, 2 it could not be checked) are the command's. Throws
// Error{kInternal} if the broker's program cannot be run.
int RunVerify(const VerifyOptions& options);

}  // namespace millrace::cli
