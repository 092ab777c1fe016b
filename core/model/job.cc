#include "core/model/job.h"

#include <algorithm>
#include <array>

#include "core/base/fields.h"
#include "core/base/id.h"
#include "core/model/failure_problem.h"

namespace millrace {
namespace {

struct Transition {
  JobState from;
  JobEvent event;
  JobState to;
};

using enum JobState;
using enum JobEvent;

constexpr auto kTransitions = std::to_array<Transition>({
    {kQueued, kStart, kRunning},
    {kQueued, kCancel, kCancelled},
    {kQueued, kBury, kDead},
    {kRunning, kRequeue, kQueued},
    {kRunning, kRetry, kRetryWait},
    {kRunning, kPublish, kPublishing},
    {kRunning, kCancel, kCancelling},
    {kRunning, kBury, kDead},
    {kRetryWait, kDue, kQueued},
    {kRetryWait, kCancel, kCancelled},
    {kRetryWait, kBury, kDead},
    {kPublishing, kPublished, kSucceeded},
    {kPublishing, kRedo, kQueued},
    {kPublishing, kBury, kDead},
    {kCancelling, kStopped, kCancelled},
    {kDead, kRedrive, kQueued},
    {kDead, kPurge, kDead},
});

constexpr auto kStateNames = std::to_array<std::pair<JobState, std::string_view>>({
    {kQueued, "queued"},
    {kRunning, "running"},
    {kPublishing, "publishing"},
    {kSucceeded, "succeeded"},
    {kRetryWait, "retry_wait"},
    {kCancelling, "cancelling"},
    {kCancelled, "cancelled"},
    {kDead, "dead"},
});

constexpr auto kEventNames = std::to_array<std::pair<JobEvent, std::string_view>>({
    {kStart, "start"},
    {kRequeue, "requeue"},
    {kRetry, "retry"},
    {kDue, "due"},
    {kPublish, "publish"},
    {kPublished, "published"},
    {kRedo, "redo"},
    {kCancel, "cancel"},
    {kStopped, "stopped"},
    {kBury, "bury"},
    {kSubmit, "submit"},
    {kRedrive, "redrive"},
    {kPurge, "purge"},
});

constexpr size_t kMaxLabels = 32;
constexpr size_t kMaxLabelKeyBytes = 64;
constexpr size_t kMaxLabelValueBytes = 256;
constexpr size_t kMaxPathBytes = 1024;

std::map<std::string, std::string> ParseLabels(const nlohmann::json& json,
                                               const std::string& pointer,
                                               std::vector<FieldError>& errors) {
  std::map<std::string, std::string> labels;
  if (!json.is_object() || json.size() > kMaxLabels) {
    errors.push_back(
        {pointer, "must be an object of at most " + std::to_string(kMaxLabels) + " labels"});
    return labels;
  }
  Fields fields(json, pointer, errors);
  for (const auto& [key, value] : json.items()) {
    if (key.empty() || key.size() > kMaxLabelKeyBytes) {
      fields.Fail(key, "a label's name has 1 to " + std::to_string(kMaxLabelKeyBytes) + " bytes");
    } else if (const auto text = fields.String(key, kMaxLabelValueBytes)) {
      labels[key] = *text;
    } else if (value.is_null()) {
      fields.Fail(key, "must be a string");
    }
  }
  return labels;
}

nlohmann::json OrNull(const std::string& text) {
  return text.empty() ? nlohmann::json() : nlohmann::json(text);
}

nlohmann::json OrNull(const std::optional<WallTime>& time) {
  return time ? nlohmann::json(FormatTime(*time)) : nlohmann::json();
}

template <typename T>
nlohmann::json OrNull(const std::optional<T>& value) {
  return value ? nlohmann::json(*value) : nlohmann::json();
}

const nlohmann::json& OrNull(const nlohmann::json* json) {
  static const nlohmann::json kNull;
  return json != nullptr ? *json : kNull;
}

int ParsePriority(Fields& fields) {
  return static_cast<int>(fields.Integer("priority", 0, 100).value_or(kDefaultPriority));
}

int ParseMaxAttempts(Fields& fields) {
  return static_cast<int>(fields.Integer("max_attempts", 1, 20).value_or(kDefaultMaxAttempts));
}

std::string PhaseOf(const Job& job, const LiveJob& live) {
  switch (job.state) {
    case kRunning:
    case kCancelling:
      return live.progress.phase.empty() ? "starting" : live.progress.phase;
    case kPublishing:
      return "publishing";
    default:
      return std::string(NameOf(job.state));
  }
}

int PercentOf(const Job& job, const Progress& progress) {
  // 100 is kept for what a client can download.
  return job.state == kSucceeded ? 100 : std::clamp(progress.percent, 0, 99);
}

nlohmann::json ProgressView(const Job& job, const Progress& progress,
                            std::optional<int64_t> queue_position) {
  nlohmann::json view;
  view["percent"] = PercentOf(job, progress);
  view["frames"] = progress.frames;
  view["fps"] = progress.fps;
  view["speed"] = progress.speed;
  view["eta_seconds"] = OrNull(progress.eta_seconds);
  view["queue_position"] = OrNull(queue_position);
  return view;
}

nlohmann::json OutputViews(const Job& job, const Progress& progress) {
  nlohmann::json views = nlohmann::json::array();
  for (const OutputSpec& output : job.request.spec.outputs) {
    nlohmann::json files = nlohmann::json::array();
    for (const OutputFile& file : job.files) {
      if (file.output != output.name) continue;
      nlohmann::json view = ToJson(file);
      view.erase("output");
      files.push_back(std::move(view));
    }
    int percent = 0;
    for (const auto& [name, done] : progress.outputs) {
      if (name == output.name) percent = std::clamp(done, 0, 99);
    }
    std::string state(NameOf(job.state));
    if (job.state == kSucceeded) {
      percent = 100;
      // Asked for, but the input had nothing to make it from; a warning says so.
      if (files.empty()) state = "skipped";
    }
    nlohmann::json& view = views.emplace_back();
    view["name"] = output.name;
    view["state"] = std::move(state);
    view["percent"] = percent;
    view["files"] = std::move(files);
  }
  return views;
}

}  // namespace

std::optional<JobState> NextState(JobState state, JobEvent event) {
  const auto* found = std::ranges::find_if(kTransitions, [&](const Transition& transition) {
    return transition.from == state && transition.event == event;
  });
  if (found == kTransitions.end()) return std::nullopt;
  return found->to;
}

std::optional<JobState> JobStateOf(const std::vector<TaskState>& tasks) {
  // The first row of which the job has a task decides. A blocked task waits for another, which
  // does.
  static constexpr auto kRows = std::to_array<std::pair<TaskState, JobState>>({
      {TaskState::kCancelling, kCancelling},
      {TaskState::kCancelled, kCancelled},
      {TaskState::kLeased, kRunning},
      {TaskState::kQueued, kQueued},
      {TaskState::kRetryWait, kRetryWait},
  });
  const auto has = [&](TaskState state) { return std::ranges::find(tasks, state) != tasks.end(); };
  if (has(TaskState::kFailed)) return std::nullopt;
  for (const auto& [task, job] : kRows) {
    if (has(task)) return job;
  }
  return kPublishing;
}

bool IsTerminal(JobState state) {
  return state == kSucceeded || state == kCancelled || state == kDead;
}

std::string_view NameOf(JobState state) {
  return std::ranges::find(kStateNames, state, [](const auto& row) { return row.first; })->second;
}

std::string_view NameOf(JobEvent event) {
  return std::ranges::find(kEventNames, event, [](const auto& row) { return row.first; })->second;
}

std::optional<JobState> JobStateFromName(std::string_view name) {
  const auto* found =
      std::ranges::find(kStateNames, name, [](const auto& row) { return row.second; });
  if (found == kStateNames.end()) return std::nullopt;
  return found->first;
}

std::optional<JobEvent> JobEventFromName(std::string_view name) {
  const auto* found =
      std::ranges::find(kEventNames, name, [](const auto& row) { return row.second; });
  if (found == kEventNames.end()) return std::nullopt;
  return found->first;
}

Input ParseInput(const nlohmann::json& json, const std::string& pointer,
                 std::vector<FieldError>& errors) {
  Fields fields(json, pointer, errors);
  Input input;
  if (const auto upload = fields.String("upload")) {
    input.upload = *upload;
    if (!IsId(*upload, "upl_")) fields.Fail("upload", "is not the id of an upload");
  }
  if (const auto path = fields.String("path", kMaxPathBytes)) input.path = *path;
  const int given =
      (fields.Raw("upload") != nullptr ? 1 : 0) + (fields.Raw("path") != nullptr ? 1 : 0);
  fields.RefuseOthers();
  if (given != 1 && json.is_object()) {
    errors.push_back({pointer, "must have exactly one of: upload, path"});
  }
  return input;
}

JobRequest ParseJobRequest(const nlohmann::json& body, const PresetSource& presets) {
  std::vector<FieldError> errors;
  Fields fields(body, "", errors);
  JobRequest request;
  if (const auto* input = fields.Raw("input")) {
    request.input = ParseInput(*input, "/input", errors);
  } else {
    fields.Fail("input", "is required");
  }
  const nlohmann::json* outputs = fields.Raw("outputs");
  const nlohmann::json* clip = fields.Raw("clip");
  if (outputs == nullptr) {
    fields.Fail("outputs", "is required");
  } else {
    request.spec = ParseEncodeSpec(*outputs, clip, presets, errors);
  }
  request.priority = ParsePriority(fields);
  request.external_id = fields.String("external_id").value_or("");
  if (const auto* labels = fields.Raw("labels")) {
    request.labels = ParseLabels(*labels, "/labels", errors);
  }
  request.max_attempts = ParseMaxAttempts(fields);
  request.force = fields.Boolean("force").value_or(false);
  fields.RefuseOthers();
  if (!errors.empty()) throw Error(std::move(errors));
  return request;
}

JobRequest PatchSpec(const JobRequest& request, const nlohmann::json& patch) {
  std::vector<FieldError> errors;
  Fields fields(patch, "/spec", errors);
  fields.Raw("outputs");
  fields.Raw("clip");
  fields.RefuseOthers();
  if (!errors.empty()) throw Error(std::move(errors));
  nlohmann::json spec = ToJson(request.spec);
  spec.merge_patch(patch);
  JobRequest patched = request;
  try {
    patched.spec = SpecFromJson(spec);
  } catch (const Error& error) {
    for (const FieldError& field : error.fields()) {
      errors.push_back({"/spec" + field.pointer, field.detail});
    }
    throw Error(std::move(errors));
  }
  return patched;
}

nlohmann::json ToJson(const Input& input) {
  if (!input.upload.empty()) return {{"upload", input.upload}};
  return {{"path", input.path}};
}

Input InputFromJson(const nlohmann::json& json) {
  return {.upload = json.value("upload", ""), .path = json.value("path", "")};
}

nlohmann::json ToJson(const JobRequest& request) {
  nlohmann::json json;
  json["input"] = ToJson(request.input);
  json["spec"] = ToJson(request.spec);
  json["priority"] = request.priority;
  json["external_id"] = request.external_id;
  json["labels"] = request.labels;
  json["max_attempts"] = request.max_attempts;
  json["force"] = request.force;
  return json;
}

JobRequest JobRequestFromJson(const nlohmann::json& json) {
  std::vector<FieldError> errors;
  Fields fields(json, "", errors);
  JobRequest request;
  request.input = ParseInput(OrNull(fields.Raw("input")), "/input", errors);
  request.priority = ParsePriority(fields);
  request.max_attempts = ParseMaxAttempts(fields);
  if (const auto* id = fields.Raw("external_id"); id != nullptr && *id != "") {
    request.external_id = fields.String("external_id").value_or("");
  }
  request.labels = ParseLabels(OrNull(fields.Raw("labels")), "/labels", errors);
  // Requests that were kept by an earlier build lack it.
  request.force = fields.Boolean("force").value_or(false);
  const nlohmann::json* spec = fields.Raw("spec");
  if (spec == nullptr) fields.Fail("spec", "is required");
  if (!errors.empty()) {
    throw Error(ErrorCode::kProtocolError,
                std::string("not a job request: ") + Error(std::move(errors)).what());
  }
  request.spec = SpecFromJson(*spec);
  return request;
}

nlohmann::json JobView(const Job& job, const LiveJob& live) {
  nlohmann::json input = ToJson(job.request.input);
  if (job.input_facts.is_object()) input.update(job.input_facts);
  input["media"] = job.media;
  nlohmann::json warnings = nlohmann::json::array();
  for (const Warning& warning : job.warnings) warnings.push_back(ToJson(warning));
  const Progress& progress = IsTerminal(job.state) ? job.last_progress : live.progress;
  // Member by member: a list in braces is made of arrays first, and takes twice the time.
  nlohmann::json view;
  view["id"] = job.id;
  view["external_id"] = OrNull(job.request.external_id);
  view["state"] = NameOf(job.state);
  view["phase"] = PhaseOf(job, live);
  view["generation"] = job.generation;
  view["progress"] = ProgressView(job, progress, live.queue_position);
  view["priority"] = job.request.priority;
  view["labels"] = job.request.labels;
  view["input"] = std::move(input);
  view["attempt"] = live.attempt;
  view["max_attempts"] = job.request.max_attempts;
  view["worker"] = OrNull(live.worker);
  view["created_at"] = FormatTime(job.created_at);
  view["started_at"] = OrNull(job.started_at);
  view["finished_at"] = OrNull(job.finished_at);
  view["retry_at"] = OrNull(live.retry_at);
  view["outputs"] = OutputViews(job, progress);
  view["warnings"] = std::move(warnings);
  view["error"] =
      job.error.is_null() ? nlohmann::json() : FailureProblemJson(ErrorFromJson(job.error));
  if (job.request.spec.clip) view["clip"] = ToJson(job.request.spec)["clip"];
  return view;
}

}  // namespace millrace
