#include "core/media/media_store.h"

#include <algorithm>
#include <cerrno>

#include "core/base/error.h"
#include "core/base/failpoint.h"
#include "core/base/files.h"
#include "core/base/id.h"
#include "core/base/sha256.h"
#include "core/base/unique_fd.h"
#include "core/media/dead_letter_folder.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr const char* kUploadData = "data";
constexpr const char* kUploadFacts = "upload.json";

// An upload is made in a hidden folder and renamed into place whole, so that a reader finds either
// nothing or a complete upload with its facts.
class FolderUploadWriter final : public UploadWriter {
 public:
  FolderUploadWriter(const fs::path& uploads, std::string_view name) : uploads_(uploads) {
    upload_.id = NewUploadId();
    upload_.name = name;
    upload_.created_at = SystemClock().WallNow();
    partial_ = uploads_ / (".partial-" + upload_.id);
    CreateFolders(partial_);
    file_ = CreateFile(partial_ / kUploadData);
  }

  ~FolderUploadWriter() override {
    if (committed_) return;
    std::error_code ignored;
    fs::remove_all(partial_, ignored);
  }

  void Write(std::span<const char> bytes) override {
    WriteAll(file_.get(), bytes, partial_ / kUploadData);
    hash_.Add(bytes);
    upload_.bytes += static_cast<int64_t>(bytes.size());
  }

  Upload Commit() override {
    SyncFile(file_.get(), partial_ / kUploadData);
    file_.Reset();
    upload_.sha256 = hash_.Finish();
    WriteFileDurably(partial_ / kUploadFacts, ToJson(upload_).dump());
    Rename(partial_, uploads_ / upload_.id);
    committed_ = true;
    SyncFolder(uploads_);
    return upload_;
  }

 private:
  const fs::path& uploads_;
  fs::path partial_;
  UniqueFd file_;
  Sha256 hash_;
  Upload upload_;
  bool committed_ = false;
};

// Throws if the system cannot tell, e.g. without permission.
bool Exists(const fs::path& path) {
  std::error_code error;
  const bool there = fs::exists(path, error);
  if (error) ThrowStorageError(error.value(), "look for", path);
  return there;
}

bool IsInside(const fs::path& path, const fs::path& folder) {
  const auto [end, rest] = std::ranges::mismatch(folder, path);
  return end == folder.end();
}

class FolderMediaStore final : public MediaStore {
 public:
  explicit FolderMediaStore(FolderMediaStoreOptions options)
      : uploads_(options.data_dir / "uploads"),
        work_(options.data_dir / "work"),
        outputs_(options.data_dir / "outputs"),
        dead_letters_(options.data_dir / "dead-letter") {
    for (const fs::path& folder : {uploads_, work_, outputs_, dead_letters_}) CreateFolders(folder);
    if (!options.library_dir.empty()) library_ = fs::canonical(options.library_dir);
  }

  std::unique_ptr<UploadWriter> BeginUpload(std::string_view name) override {
    return std::make_unique<FolderUploadWriter>(uploads_, name);
  }

  std::optional<Upload> FindUpload(const std::string& id) const override {
    const fs::path facts = uploads_ / id / kUploadFacts;
    if (!IsId(id, "upl_") || !Exists(facts)) return std::nullopt;
    const auto json = nlohmann::json::parse(ReadWholeFile(facts));
    return Upload{.id = json.at("id"),
                  .name = json.at("name"),
                  .bytes = json.at("bytes"),
                  .sha256 = json.at("sha256"),
                  .created_at = ParseTime(json.at("created_at").get<std::string>())};
  }

  fs::path Resolve(const Input& input) const override {
    if (!input.upload.empty()) {
      fs::path data = uploads_ / input.upload / kUploadData;
      if (!IsId(input.upload, "upl_") || !Exists(data)) {
        throw Error(ErrorCode::kUploadNotFound, "there is no upload " + input.upload);
      }
      return data;
    }
    return ResolveInLibrary(input.path);
  }

  fs::path CreateWork(const std::string& task, Fence fence) override {
    const fs::path folder = WorkFolder(task, fence);
    RemoveTree(folder);
    CreateFolders(folder / "out");
    return folder;
  }

  fs::path WorkFolder(const std::string& task, Fence fence) const override {
    return work_ / (task + "." + std::to_string(fence));
  }

  void DiscardWork(const std::string& task, Fence fence) override {
    RemoveTree(WorkFolder(task, fence));
  }

  std::vector<std::string> Publish(const std::string& job,
                                   const std::vector<TaskOutputs>& made) override {
    const std::string fence = std::to_string(PublishedFence(made));
    const fs::path place = outputs_ / job / fence;
    const auto is_published = [&](const TaskOutputs& one) { return HoldsAll(place, one.manifest); };
    if (!std::ranges::all_of(made, is_published)) {
      const fs::path gathered = outputs_ / (".partial-" + job + "." + fence);
      const std::vector<std::string> lost = FindLost(made, gathered);
      if (!lost.empty()) return lost;
      if (made.size() > 1) Gather(made, gathered);
      CreateFolders(place.parent_path());
      RemoveTree(place);
      Rename(made.size() > 1 ? gathered : OutFolder(made[0]), place);
      Failpoint("broker.after_publish_rename");
    }
    // Also of what an earlier try has renamed: its sync may have failed.
    SyncFolder(place.parent_path());
    SyncFolder(outputs_);
    for (const TaskOutputs& one : made) DiscardWork(one.task, one.fence);
    return {};
  }

  std::optional<fs::path> FindOutput(const std::string& job, Fence fence,
                                     std::string_view path) const override {
    if (!IsId(job, "job_")) return std::nullopt;
    std::error_code missing;
    const fs::path folder = fs::canonical(outputs_ / job / std::to_string(fence), missing);
    if (missing) return std::nullopt;
    const fs::path file = fs::canonical(folder / fs::path(path), missing);
    if (missing || !IsInside(file, folder) || !fs::is_regular_file(file, missing))
      return std::nullopt;
    return file;
  }

  fs::path WriteDeadLetter(const DeadLetter& letter) override {
    const fs::path place = DeadLetterFolder(letter.job_id);
    const fs::path partial = dead_letters_ / (".partial-" + letter.job_id);
    RemoveTree(partial);
    CreateFolders(partial);
    FillDeadLetterFolder(letter, SourcesOf(letter), partial);
    Failpoint("broker.during_dead_letter");
    RemoveTree(place);
    Rename(partial, place);
    SyncFolder(dead_letters_);
    return place;
  }

  fs::path DeadLetterFolder(const std::string& job) const override { return dead_letters_ / job; }

 private:
  fs::path ResolveInLibrary(const std::string& path) const {
    if (library_.empty()) {
      throw Error(ErrorCode::kInvalidRequest,
                  "inputs by path are off: no library folder is configured");
    }
    std::error_code missing;
    const fs::path file = fs::canonical(library_ / path, missing);
    if (missing || !IsInside(file, library_) || !fs::is_regular_file(file, missing)) {
      throw Error(ErrorCode::kInvalidRequest, "there is no file '" + path + "' in the library");
    }
    return file;
  }

  static bool Holds(const fs::path& folder, const OutputFile& file) {
    std::error_code missing;
    const auto bytes = fs::file_size(folder / file.path, missing);
    return !missing && static_cast<int64_t>(bytes) == file.bytes;
  }

  static bool HoldsAll(const fs::path& folder, const Manifest& manifest) {
    return fs::is_directory(folder) &&
           std::ranges::all_of(manifest.files,
                               [&](const OutputFile& file) { return Holds(folder, file); });
  }

  fs::path OutFolder(const TaskOutputs& one) const {
    return WorkFolder(one.task, one.fence) / "out";
  }

  // The tasks whose files are neither in their own folder nor in `gathered`, where an interrupted
  // try may have left some. If there are any, what was gathered of the others is lost as well: they
  // will be published under another fence.
  std::vector<std::string> FindLost(const std::vector<TaskOutputs>& made,
                                    const fs::path& gathered) const {
    const auto tasks_without = [&](const auto& is_there) {
      std::vector<std::string> tasks;
      for (const TaskOutputs& one : made) {
        const fs::path out = OutFolder(one);
        const bool whole = std::ranges::all_of(
            one.manifest.files, [&](const OutputFile& file) { return is_there(out, file); });
        if (!whole) tasks.push_back(one.task);
      }
      return tasks;
    };
    const auto anywhere = tasks_without([&](const fs::path& out, const OutputFile& file) {
      return Holds(out, file) || Holds(gathered, file);
    });
    if (anywhere.empty()) return {};
    RemoveTree(gathered);
    return tasks_without(Holds);
  }

  // Moves the files of several tasks into one folder, durably, whatever an interrupted try has
  // moved already. REQUIRES: none is lost.
  void Gather(const std::vector<TaskOutputs>& made, const fs::path& gathered) const {
    CreateFolders(gathered);
    // SweepPartials removes what is old, and this one may be of an earlier try.
    fs::last_write_time(gathered, fs::file_time_type::clock::now());
    for (const TaskOutputs& one : made) {
      for (const OutputFile& file : one.manifest.files) {
        if (Holds(gathered, file)) continue;
        const fs::path place = gathered / file.path;
        CreateFolders(place.parent_path());
        Rename(OutFolder(one) / file.path, place);
        Failpoint("broker.while_gathering");
      }
    }
    SyncTree(gathered);
  }

  DeadLetterSources SourcesOf(const DeadLetter& letter) const {
    DeadLetterSources sources;
    for (const auto& [task, fence] : letter.attempts) {
      sources.attempts.emplace_back(fence, WorkFolder(task, fence));
    }
    if (IsId(letter.input.upload, "upl_")) {
      const fs::path data = uploads_ / letter.input.upload / kUploadData;
      if (Exists(data)) sources.input = data;
    }
    return sources;
  }

  const fs::path uploads_;
  const fs::path work_;
  const fs::path outputs_;
  const fs::path dead_letters_;
  fs::path library_;
};

}  // namespace

Fence PublishedFence(const std::vector<TaskOutputs>& made) {
  return std::ranges::max_element(made, {}, &TaskOutputs::fence)->fence;
}

nlohmann::json ToJson(const Upload& upload) {
  return {{"id", upload.id},
          {"name", upload.name},
          {"bytes", upload.bytes},
          {"sha256", upload.sha256},
          {"created_at", FormatTime(upload.created_at)}};
}

std::unique_ptr<MediaStore> OpenFolderMediaStore(FolderMediaStoreOptions options) {
  return std::make_unique<FolderMediaStore>(std::move(options));
}

}  // namespace millrace
