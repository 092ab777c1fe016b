#include "cli/client/commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "cli/base/exit_status.h"
#include "cli/base/text.h"
#include "cli/client/download.h"
#include "cli/client/job_watch.h"
#include "cli/client/pages.h"
#include "cli/client/service.h"
#include "cli/show/print.h"
#include "cli/show/progress_display.h"
#include "cli/show/report.h"
#include "core/base/error.h"
#include "core/base/id.h"

namespace millrace::cli {
namespace {

using nlohmann::json;

// Returns a line that names the next command for a dead job; "" for any other.
std::string DeadHint(const json& job) {
  if (job.at("state") != "dead") return "";
  return "  for more: millrace dead show " + Printable(job.at("id").get<std::string>()) + "\n";
}

// Throws Error{kInvalidRequest} unless `key` is valid as an Idempotency-Key.
void CheckKey(const std::string& key) {
  constexpr size_t kLongest = 255;
  const bool visible = std::ranges::all_of(key, [](char c) { return c > ' ' && c < 0x7F; });
  if (key.size() > kLongest || !visible) {
    throw Error(ErrorCode::kInvalidRequest,
                "--idempotency-key takes 1 to 255 visible ASCII characters");
  }
}

std::pair<std::string, std::string> SplitPair(const std::string& text, const std::string& option) {
  const size_t equals = text.find('=');
  if (equals == 0 || equals == std::string::npos || equals + 1 == text.size()) {
    throw Error(ErrorCode::kInvalidRequest,
                option + " takes a name and a value, name=value, not '" + text + "'");
  }
  return {text.substr(0, equals), text.substr(equals + 1)};
}

bool IsUploadId(const std::string& file) {
  return file.starts_with("upl_") && !std::filesystem::exists(file);
}

// Returns the id of the upload. Uploads `file` first unless it is such an id itself.
std::string Uploaded(Service& service, const std::string& file, std::string name) {
  if (IsUploadId(file)) return file;
  if (name.empty()) name = file == "-" ? "stdin" : std::filesystem::path(file).filename().string();
  std::error_code unknown;
  const uintmax_t bytes = std::filesystem::file_size(file, unknown);
  const auto kind = !unknown && bytes < uintmax_t{kWorthABar} ? ProgressDisplay::Kind::kNothing
                                                              : ProgressDisplay::KindFor(stderr);
  ProgressDisplay display(stderr, kind, 1);
  const json upload = service.Upload(file, name, [&](int64_t done, std::optional<int64_t> total) {
    display.Update(0, UploadRow(name, done, total));
  });
  return upload.at("id");
}

int WaitAndReport(const ClientOptions& client, Service& service, const std::string& id,
                  const std::string& download_dir) {
  ProgressDisplay display(stderr, ProgressDisplay::KindFor(stderr), 1);
  const json job =
      WatchJob(service, id, [&display](const ProgressRow& row) { display.Update(0, row); });
  PrintEnd(client, job);
  const ExitStatus status = ExitStatusOf(job);
  if (status != kExitOk || download_dir.empty()) return status;
  for (const DownloadedFile& file : DownloadOutputs(service, job, download_dir)) {
    fmt::print(stderr, "downloaded {}\n", Printable(file.path.string()));
  }
  return kExitOk;
}

std::string JobsQuery(const ListOptions& options, int page_size, const std::string& token) {
  std::string query = "page_size=" + std::to_string(page_size);
  for (const std::string& state : options.states) query += "&state=" + PercentEncode(state);
  for (const std::string& label : options.labels) {
    const auto [name, value] = SplitPair(label, "--label");
    query += "&label=" + PercentEncode(name + ":" + value);
  }
  if (!options.external_id.empty()) query += "&external_id=" + PercentEncode(options.external_id);
  if (!token.empty()) query += "&page_token=" + PercentEncode(token);
  return query;
}

}  // namespace

void PrintEnd(const ClientOptions& client, const json& job) {
  if (client.json) {
    Print(job.dump() + "\n");
  } else {
    Print(DescribeEnd(job, LocalDeadLetter(job.at("id"))) + DeadHint(job));
  }
}

json SubmitRequest(const SubmitOptions& options, const std::string& upload) {
  json outputs = json::array();
  for (const std::string& preset : options.presets) {
    outputs.push_back({{"name", preset}, {"preset", preset}});
  }
  for (const std::string& output : options.outputs) {
    const auto [name, preset] = SplitPair(output, "--output");
    outputs.push_back({{"name", name}, {"preset", preset}});
  }
  if (options.poster) outputs.push_back({{"name", "poster"}, {"preset", "poster"}});
  if (outputs.empty()) {
    throw Error(
        ErrorCode::kInvalidRequest,
        "name an output: --preset, --output or --poster ('millrace presets' lists presets)");
  }
  json request = {{"input", {{"upload", upload}}}, {"outputs", std::move(outputs)}};
  if (options.priority) request["priority"] = *options.priority;
  if (options.max_attempts) request["max_attempts"] = *options.max_attempts;
  if (!options.external_id.empty()) request["external_id"] = options.external_id;
  if (options.force) request["force"] = true;
  for (const std::string& label : options.labels) {
    const auto [name, value] = SplitPair(label, "--label");
    request["labels"][name] = value;
  }
  if (options.start_seconds) request["clip"]["start_seconds"] = *options.start_seconds;
  if (options.duration_seconds) request["clip"]["duration_seconds"] = *options.duration_seconds;
  return request;
}

int RunSubmit(const ClientOptions& client, const SubmitOptions& options) {
  // Check the options before the upload, which may take long.
  SubmitRequest(options, "upl_unknown_yet");
  CheckKey(options.idempotency_key);
  Service service(client.url);
  const std::string upload = Uploaded(service, options.file, options.name);
  const std::string key = options.idempotency_key.empty() ? NewId("key_") : options.idempotency_key;
  const json job = service.Submit(SubmitRequest(options, upload), key, options.retry_for);
  const std::string id = job.at("id");
  if (options.wait || !options.download_dir.empty()) {
    fmt::print(stderr, "submitted {}\n", id);
    return WaitAndReport(client, service, id, options.download_dir);
  }
  if (client.json) {
    PrintJson(job);
  } else {
    Print(id + "\n");
  }
  return kExitOk;
}

int RunJobs(const ClientOptions& client, const ListOptions& options) {
  Service service(client.url);
  const Listing jobs =
      ListUpTo(options.limit, "jobs", [&](int page_size, const std::string& token) {
        return service.Jobs(JobsQuery(options, page_size, token));
      });
  if (client.json) {
    PrintJson({{"jobs", jobs.items}, {"next_page_token", jobs.next_page_token}});
    return kExitOk;
  }
  Print(JobsTable(jobs.items));
  if (!jobs.next_page_token.empty()) Tell("there are more; --limit shows them");
  return kExitOk;
}

int RunShow(const ClientOptions& client, const std::string& id) {
  const json job = Service(client.url).Job(id);
  if (client.json) {
    PrintJson(job);
    return kExitOk;
  }
  Print(DescribeJob(job));
  if (const auto folder = LocalDeadLetter(id)) Print("  dead letter " + folder->string() + "\n");
  Print(DeadHint(job));
  return kExitOk;
}

int RunWatch(const ClientOptions& client, const std::vector<std::string>& ids) {
  const auto kind =
      client.json ? ProgressDisplay::Kind::kNothing : ProgressDisplay::KindFor(stdout);
  ProgressDisplay display(stdout, kind, ids.size());
  int status = kExitOk;
  for (const json& job : WatchJobs(client.url, ids, display)) {
    PrintEnd(client, job);
    status = std::max<int>(status, ExitStatusOf(job));
  }
  return status;
}

int RunCancel(const ClientOptions& client, const std::string& id) {
  const json job = Service(client.url).Cancel(id);
  if (client.json) {
    PrintJson(job);
  } else {
    Print(id + " " + job.at("state").get<std::string>() + "\n");
  }
  return kExitOk;
}

int RunProbe(const ClientOptions& client, const std::string& file) {
  Service service(client.url);
  const json reply = service.Probe(Uploaded(service, file, ""));
  if (client.json) {
    PrintJson(reply);
  } else {
    Print(DescribeMedia(reply.at("media")));
  }
  return kExitOk;
}

int RunPresets(const ClientOptions& client, const std::string& name) {
  Service service(client.url);
  if (!name.empty()) {
    PrintJson(service.Get("/v1/presets/" + PercentEncode(name)));
    return kExitOk;
  }
  const json reply = service.Get("/v1/presets");
  if (client.json) {
    PrintJson(reply);
  } else {
    Print(PresetsTable(reply.at("presets")));
  }
  return kExitOk;
}

int RunWorkers(const ClientOptions& client) {
  const json reply = Service(client.url).Get("/v1/workers");
  if (client.json) {
    PrintJson(reply);
  } else {
    Print(WorkersTable(reply.at("workers")));
  }
  return kExitOk;
}

int RunQueue(const ClientOptions& client) {
  const json reply = Service(client.url).Get("/v1/queue");
  if (client.json) {
    PrintJson(reply);
  } else {
    Print(DescribeQueue(reply));
  }
  return kExitOk;
}

int RunDownload(const ClientOptions& client, const std::string& id, const std::string& folder) {
  Service service(client.url);
  json list = json::array();
  for (const DownloadedFile& got : DownloadOutputs(service, service.Job(id), folder)) {
    if (client.json) {
      list.push_back({{"path", got.path.string()}, {"file", got.file}});
    } else {
      PrintPath(got.path);
    }
  }
  if (client.json) PrintJson({{"files", list}});
  return kExitOk;
}

}  // namespace millrace::cli
