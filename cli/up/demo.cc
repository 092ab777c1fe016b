#include "cli/up/demo.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <exception>
#include <thread>
#include <utility>

#include "cli/base/exit_status.h"
#include "cli/base/text.h"
#include "cli/client/job_watch.h"
#include "cli/client/service.h"
#include "cli/show/progress_display.h"
#include "cli/show/report.h"
#include "cli/up/child_process.h"
#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/id.h"
#include "core/base/unique_fd.h"

namespace millrace::cli {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

// Runs `millrace up` as a process in the background; supervising needs a single-threaded process,
// which this one is not. The destructor stops it and all of its programs, and so does the kernel if
// this process ends in another way.
class OwnService {
 public:
  OwnService(const fs::path& data_dir, int workers) : log_path_(data_dir / "logs" / "up.log") {
    CreateFolders(log_path_.parent_path());
    const UniqueFd log(open(log_path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
    if (!log) ThrowStorageError(errno, "open", log_path_);
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) ThrowStorageError(errno, "make a pipe for", log_path_);
    output_.Reset(ends[0]);
    const UniqueFd child_end(ends[1]);
    pid_ = StartChild({.program = OwnFolder() / "millrace",
                       .arguments = {"up", "--data-dir", data_dir.string(), "--port", "0",
                                     "--workers", std::to_string(workers), "--drain-timeout", "2"},
                       .output_fd = log.get(),
                       .stdout_fd = child_end.get(),
                       .death_signal = SIGTERM});
  }
  ~OwnService() {
    kill(pid_, SIGTERM);
    waitpid(pid_, nullptr, 0);
  }
  OwnService(const OwnService&) = delete;
  OwnService& operator=(const OwnService&) = delete;

  // Returns the service's URL once it is ready. Throws Error{kInternal} if it cannot start.
  std::string WaitUntilReady() const {
    std::string text;
    char c = 0;
    ssize_t got = 0;
    while ((got = read(output_.get(), &c, 1)) == 1 || (got < 0 && errno == EINTR)) {
      if (got != 1) continue;
      if (c == '\n') break;
      text += c;
    }
    const size_t url = text.find("http://");
    if (url == std::string::npos) {
      throw Error(ErrorCode::kInternal, "the service did not start:\n" + ReadWholeFile(log_path_));
    }
    return text.substr(url);
  }

 private:
  const fs::path log_path_;
  UniqueFd output_;
  pid_t pid_ = 0;
};

// One file, and what became of it.
struct Run {
  std::string file;
  std::string name;  // of the file
  json job;
  std::vector<DownloadedFile> downloads;
  std::string
      failure;  // the error that kept the job from being made or fetched, in printable lines
};

json MediaOf(Service& service, const std::string& upload) {
  try {
    return service.Probe(upload).at("media");
  } catch (const Error& error) {
    if (ExitStatusOf(error) == kExitUnavailable) throw;
    return nullptr;  // the job will fail with the reason
  }
}

Run Encoded(Service& service, const fs::path& downloads_dir, Run run,
            const std::function<void(const ProgressRow&)>& show) {
  const json upload =
      service.Upload(run.file, run.name, [&](int64_t done, std::optional<int64_t> total) {
        if (total.value_or(0) >= kWorthABar) show(UploadRow(run.name, done, total));
      });
  const std::string id = upload.at("id");
  const json outputs = DemoOutputs(MediaOf(service, id));
  const json job =
      service.Submit({{"input", {{"upload", id}}}, {"outputs", outputs}}, NewId("key_"));
  run.job = WatchJob(service, job.at("id"), show);
  if (ExitStatusOf(run.job) == kExitOk) {
    run.downloads = DownloadOutputs(service, run.job, downloads_dir / run.job.at("id"));
  }
  return run;
}

// Encodes the files at the same time, with a thread each.
std::vector<Run> AllEncoded(const std::string& url, const fs::path& downloads_dir,
                            std::vector<Run> runs) {
  ProgressDisplay display(stdout, ProgressDisplay::KindFor(stdout), runs.size());
  {
    std::vector<std::jthread> threads;  // joined at the end of the block
    threads.reserve(runs.size());
    for (size_t i = 0; i < runs.size(); ++i) {
      threads.emplace_back([&, i] {
        try {
          Service service(url);
          runs[i] = Encoded(service, downloads_dir, runs[i],
                            [&display, i](const ProgressRow& row) { display.Update(i, row); });
        } catch (const Error& error) {
          runs[i].failure = DescribeError(error);
        } catch (const std::exception& error) {
          runs[i].failure = std::string("millrace: ") + error.what() + "\n";
        }
      });
    }
  }
  return runs;
}

// Prints what became of one file. Returns whether its outputs are all there and right.
bool Report(const Run& run, const fs::path& data_dir) {
  std::string text = Printable(run.name) + "\n";
  bool good = run.failure.empty();
  if (!good) {
    text += run.failure;
  } else if (ExitStatusOf(run.job) != kExitOk) {
    good = false;
    text += DescribeEnd(run.job, data_dir / "dead-letter" / run.job.at("id"));
  } else {
    for (const auto& [file, path] : run.downloads) {
      text += "  " + path.string() + "\n    " + DescribeFile(file) + "\n";
    }
    for (const json& warning : run.job.at("warnings")) {
      text += "  warning: " + Printable(warning.value("detail", "")) + "\n";
    }
    for (const std::string& problem : CheckDownloads(run.job, run.downloads)) {
      good = false;
      text += "  wrong: " + problem + "\n";
    }
    if (good) text += "  checked: size and sha256 of each file, streams, picture, duration\n";
  }
  std::fputs(text.c_str(), stdout);
  return good;
}

}  // namespace

int RunDemo(const DemoOptions& options) {
  const fs::path data_dir = fs::absolute(options.data_dir).lexically_normal();
  std::vector<Run> runs;
  for (const std::string& file : options.files) {
    if (!fs::is_regular_file(file)) {
      throw Error(ErrorCode::kUploadNotFound, "there is no file " + file);
    }
    runs.push_back({.file = file, .name = fs::path(file).filename().string()});
  }
  bool good = true;
  {
    const OwnService service(data_dir, options.workers);
    const std::string url = service.WaitUntilReady();
    std::printf("Millrace runs at %s with %d workers; its data is in %s\n", url.c_str(),
                options.workers, data_dir.c_str());
    std::fflush(stdout);
    runs = AllEncoded(url, data_dir / "downloads", std::move(runs));
    std::puts("");
    for (const Run& run : runs) good = Report(run, data_dir) && good;
  }
  std::puts(good ? "\nAll is well; the service has been stopped."
                 : "\nNot everything went well; the service has been stopped.");
  return good ? kExitOk : kExitFailed;
}

}  // namespace millrace::cli
