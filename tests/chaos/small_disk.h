#pragma once

#include <cstdint>
#include <filesystem>

namespace millrace::chaos {

// Makes mounts private to this process and its children from now on; they vanish when these end.
// Returns false without the rights to mount. REQUIRES: no threads have been started.
bool KeepMountsToOurselves();

// A folder on a disk of its own (a tmpfs) that can be filled up. Without the rights to mount it is
// a plain folder that cannot be filled. The destructor unmounts and empties it.
class SmallDisk {
 public:
  // Throws Error if the folder cannot be made.
  SmallDisk(std::filesystem::path folder, int64_t bytes);
  ~SmallDisk();
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  // Returns true if it is a disk of its own.
  bool is_mounted() const { return mounted_; }
  // Fills the disk up to `bytes_left` bytes, until Relieve(). Returns the bytes left. REQUIRES:
  // is_mounted().
  int64_t Fill(int64_t bytes_left);
  void Relieve();

  const std::filesystem::path& path() const { return folder_; }

 private:
  const std::filesystem::path folder_;
  bool mounted_ = false;
};

}  // namespace millrace::chaos
