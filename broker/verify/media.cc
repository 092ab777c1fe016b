#include "broker/verify/media.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string>
#include <vector>

#include "broker/ledger/sqlite/sqlite_dead_letters.h"
#include "broker/ledger/sqlite/sqlite_retention.h"
#include "broker/ledger/sqlite/sqlite_rows.h"
#include "core/base/files.h"
#include "core/base/sha256.h"
#include "core/base/unique_fd.h"
#include "core/media/media_store.h"

namespace millrace::broker {
namespace {

namespace fs = std::filesystem;

constexpr int kJobsPerPage = 500;

std::vector<std::string> NamesIn(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(folder, missing)) {
    names.push_back(entry.path().filename().string());
  }
  return names;
}

class MediaCheck {
 public:
  MediaCheck(SQLite::Database& database, const fs::path& data_dir, Findings& findings)
      : database_(database),
        data_dir_(data_dir),
        media_(OpenFolderMediaStore({.data_dir = data_dir, .library_dir = {}})),
        findings_(findings) {}

  void Run() {
    std::string last;
    for (;;) {
      const std::vector<Job> page = JobsAfter(last);
      if (page.empty()) return;
      for (const Job& job : page) Check(job);
    }
  }

 private:
  // Returns the next jobs after `last` and advances it. Skips malformed jobs: CheckJobs reports
  // those.
  std::vector<Job> JobsAfter(std::string& last) {
    OneTime query(database_, std::string("SELECT ") + kJobColumns +
                                 " FROM jobs WHERE id > ? ORDER BY id LIMIT ?");
    std::vector<Job> jobs;
    while (jobs.empty()) {
      query->Restart().Text(last).Integer(kJobsPerPage);
      bool any = false;
      while (query->Step()) {
        any = true;
        last = query->statement().getColumn("id").getString();
        try {
          jobs.push_back(ReadJob(*query));
        } catch (const nlohmann::json::exception&) {
          continue;
        } catch (const Error&) {
          continue;
        }
      }
      if (!any) break;
    }
    return jobs;
  }

  void Check(const Job& job) {
    if (job.state == JobState::kSucceeded) {
      CheckOutputs(job);
    } else if (job.state == JobState::kDead) {
      CheckFolder(job);
    } else if (!IsTerminal(job.state)) {
      CheckUpload(job);
    }
  }

  // Reports a finding unless the job has changed since it was read.
  void Report(const char* check, const Job& job, const std::string& detail) {
    const std::optional<JobStanding> now = FindStanding(database_, job.id);
    if (!now || now->state != job.state || now->generation != job.generation) return;
    findings_.Add(check, job.id, detail);
  }

  void CheckOutputs(const Job& job) {
    for (const OutputFile& file : job.files) CheckOutput(job, file);
    const std::string published = std::to_string(job.published_fence);
    for (const std::string& name : NamesIn(data_dir_ / "outputs" / job.id)) {
      if (name == published) continue;
      Report("outputs", job,
             "has outputs of fence " + name + " beside those of fence " + published +
                 ", which is the published one");
    }
  }

  void CheckOutput(const Job& job, const OutputFile& file) {
    findings_.Count("outputs");
    const std::optional<fs::path> path = media_->FindOutput(job.id, job.published_fence, file.path);
    if (!path) {
      Report("outputs", job,
             "output " + file.path + " of fence " + std::to_string(job.published_fence) +
                 " is missing");
      return;
    }
    std::error_code gone;
    const auto bytes = fs::file_size(*path, gone);
    if (!gone && static_cast<int64_t>(bytes) != file.bytes) {
      Report("outputs", job,
             "output " + file.path + " has " + std::to_string(bytes) + " bytes, published were " +
                 std::to_string(file.bytes));
      return;
    }
    findings_.Count("output bytes", file.bytes);
    try {
      if (Sha256OfFile(*path) == file.sha256) return;
    } catch (const Error&) {
      // Retention may have removed the file with its job; any other reason ends the check.
      if (FindStanding(database_, job.id)) throw;
      return;
    }
    Report("outputs", job, "output " + file.path + " has another SHA-256 than was published");
  }

  void CheckFolder(const Job& job) {
    const std::optional<DeadLetterRecord> letter = FindLetter(job);
    if (!letter || letter->state != DeadLetterRecord::State::kOpen) return;
    findings_.Count("dead letters");
    const fs::path report_file = media_->DeadLetterFolder(job.id) / "report.json";
    std::error_code error;
    if (!fs::is_regular_file(report_file, error)) {
      ReportFolder(job, "is dead, but has no " + report_file.string());
      return;
    }
    const nlohmann::json report =
        nlohmann::json::parse(ReadWholeFile(report_file), nullptr, /*allow_exceptions=*/false);
    if (!report.is_object()) {
      ReportFolder(job, report_file.string() + " is not JSON");
      return;
    }
    if (report.value("job", "") != job.id || report.value("generation", 0) != job.generation) {
      ReportFolder(job, report_file.string() + " is about another job or generation");
    }
    CheckInput(job, report, report_file.parent_path());
  }

  void CheckInput(const Job& job, const nlohmann::json& report, const fs::path& folder) {
    const auto input = report.find("input");
    if (input == report.end() || !input->is_object()) return;
    const auto file = input->find("file");
    if (file == input->end() || !file->is_string()) return;
    std::error_code error;
    if (fs::exists(folder / file->get<std::string>(), error)) return;
    ReportFolder(job, folder.string() + " lacks the input, " + file->get<std::string>());
  }

  std::optional<DeadLetterRecord> FindLetter(const Job& job) {
    std::optional<DeadLetterRecord> letter = FindDeadLetter(database_, job.id);
    if (letter && letter->generation != job.generation) return std::nullopt;
    return letter;
  }

  // Reports a finding unless the letter has left the queue since it was read.
  void ReportFolder(const Job& job, const std::string& detail) {
    const std::optional<DeadLetterRecord> letter = FindLetter(job);
    if (!letter || letter->state != DeadLetterRecord::State::kOpen) return;
    Report("dead_letters", job, detail);
  }

  void CheckUpload(const Job& job) {
    const std::string& upload = job.request.input.upload;
    if (upload.empty()) return;
    findings_.Count("uploads of open jobs");
    if (media_->FindUpload(upload)) return;
    Report("uploads", job,
           "is " + std::string(NameOf(job.state)) + ", but its upload " + upload + " is missing");
  }

  SQLite::Database& database_;
  const fs::path& data_dir_;
  const std::unique_ptr<MediaStore> media_;
  Findings& findings_;
};

}  // namespace

void CheckMedia(SQLite::Database& database, const fs::path& data_dir, Findings& findings) {
  MediaCheck(database, data_dir, findings).Run();
}

}  // namespace millrace::broker
