#pragma once

#include <filesystem>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>

#include "core/base/error.h"
#include "core/base/unique_fd.h"

namespace millrace {

// Durable file operations. Each throws Error{kStorageFull} where the disk is full and
// Error{kStorageError} otherwise, naming the operation and the path.

[[noreturn]] void ThrowStorageError(int error_number, const std::string& operation,
                                    const std::filesystem::path& path);

UniqueFd CreateFile(const std::filesystem::path& path);
void WriteAll(int fd, std::span<const char> bytes, const std::filesystem::path& path);
void SyncFile(int fd, const std::filesystem::path& path);
// Makes the names in a folder durable.
void SyncFolder(const std::filesystem::path& folder);
// Syncs every regular file and folder below `folder`, and `folder` itself.
void SyncTree(const std::filesystem::path& folder);
// Writes a file and its name durably, in place of any earlier file of that name.
void WriteFileDurably(const std::filesystem::path& path, std::string_view content);
// Copies a regular file to a new one. Clones it, sharing its blocks, where the file system can;
// otherwise copies the bytes. Throws Error{kDraining} soon after `abandon` is requested.
void CopyFile(const std::filesystem::path& from, const std::filesystem::path& to,
              const std::stop_token& abandon);
// Hard-links the file where file system and permissions allow it, else copies it.
void LinkOrCopy(const std::filesystem::path& from, const std::filesystem::path& to,
                const std::stop_token& abandon);
std::string ReadWholeFile(const std::filesystem::path& path);
void Rename(const std::filesystem::path& from, const std::filesystem::path& to);
void RemoveTree(const std::filesystem::path& folder);
void CreateFolders(const std::filesystem::path& folder);

}  // namespace millrace
