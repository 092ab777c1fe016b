#include "core/model/job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "core/base/id.h"

namespace millrace {
namespace {

using enum JobState;
using enum JobEvent;

constexpr JobState kStates[] = {kQueued,    kRunning,    kPublishing, kSucceeded,
                                kRetryWait, kCancelling, kCancelled,  kDead};
constexpr JobEvent kEvents[] = {kStart, kRequeue, kRetry,   kDue,  kPublish, kPublished,
                                kRedo,  kCancel,  kStopped, kBury, kSubmit};

class NoPresets final : public PresetSource {
 public:
  const nlohmann::json* Find(std::string_view) const override { return nullptr; }
};

nlohmann::json GoodRequest() {
  return {{"input", {{"upload", NewUploadId()}}},
          {"outputs", {{{"name", "web"}, {"container", "mp4"}, {"video", {{"codec", "h264"}}}}}}};
}

std::vector<std::string> WrongPointers(const nlohmann::json& body) {
  try {
    ParseJobRequest(body, NoPresets());
  } catch (const Error& error) {
    std::vector<std::string> pointers;
    for (const FieldError& field : error.fields()) pointers.push_back(field.pointer);
    return pointers;
  }
  return {};
}

TEST(JobTransitions, AreExactlyTheDocumentedOnes) {
  const std::map<std::pair<JobState, JobEvent>, JobState> expected = {
      {{kQueued, kStart}, kRunning},
      {{kQueued, kCancel}, kCancelled},
      {{kQueued, kBury}, kDead},
      {{kRunning, kRequeue}, kQueued},
      {{kRunning, kRetry}, kRetryWait},
      {{kRunning, kPublish}, kPublishing},
      {{kRunning, kCancel}, kCancelling},
      {{kRunning, kBury}, kDead},
      {{kRetryWait, kDue}, kQueued},
      {{kRetryWait, kCancel}, kCancelled},
      {{kRetryWait, kBury}, kDead},
      {{kPublishing, kPublished}, kSucceeded},
      {{kPublishing, kRedo}, kQueued},
      {{kPublishing, kBury}, kDead},
      {{kCancelling, kStopped}, kCancelled},
  };
  for (const JobState state : kStates) {
    for (const JobEvent event : kEvents) {
      const auto found = expected.find({state, event});
      const auto next = NextState(state, event);
      if (found == expected.end()) {
        EXPECT_EQ(next, std::nullopt) << NameOf(state) << " + " << NameOf(event);
      } else {
        EXPECT_EQ(next, found->second) << NameOf(state) << " + " << NameOf(event);
      }
    }
  }
}

TEST(JobTransitions, LeadNowhereFromTheTerminalStates) {
  for (const JobState state : kStates) {
    const bool ended = state == kSucceeded || state == kCancelled || state == kDead;
    EXPECT_EQ(IsTerminal(state), ended) << NameOf(state);
  }
}

TEST(JobTransitions, HaveStatesWhoseNamesReadBack) {
  for (const JobState state : kStates) EXPECT_EQ(JobStateFromName(NameOf(state)), state);
  EXPECT_EQ(JobStateFromName("exploded"), std::nullopt);
}

TEST(JobRequest, FillsInDefaults) {
  const JobRequest request = ParseJobRequest(GoodRequest(), NoPresets());
  EXPECT_EQ(request.priority, 50);
  EXPECT_EQ(request.max_attempts, 5);
  EXPECT_EQ(request.external_id, "");
}

TEST(JobRequest, NamesEachWrongField) {
  const std::vector<std::pair<nlohmann::json, std::string>> cases = {
      {{{"priority", 101}}, "/priority"},
      {{{"priority", -1}}, "/priority"},
      {{{"priority", "high"}}, "/priority"},
      {{{"priority", 1.5}}, "/priority"},
      {{{"max_attempts", 0}}, "/max_attempts"},
      {{{"max_attempts", 21}}, "/max_attempts"},
      {{{"external_id", 7}}, "/external_id"},
      {{{"external_id", std::string(257, 'x')}}, "/external_id"},
      {{{"labels", "news"}}, "/labels"},
      {{{"labels", {{"team", 7}}}}, "/labels/team"},
      {{{"labels", {{"a/b", 7}}}}, "/labels/a~1b"},
      {{{"labels", {{"", "x"}}}}, "/labels/"},
      {{{"input", {{"upload", "../../etc/passwd"}}}}, "/input/upload"},
      {{{"input", {{"path", 7}}}}, "/input/path"},
      {{{"input", "upl_1"}}, "/input"},
      {{{"input", {{"url", "https://example.org/a.mp4"}}}}, "/input/url"},
      {{{"outputs", nlohmann::json::array()}}, "/outputs"},
      {{{"clip", {{"start_seconds", -1}}}}, "/clip/start_seconds"},
      {{{"prioritty", 5}}, "/prioritty"},
  };
  for (const auto& [patch, pointer] : cases) {
    nlohmann::json body = GoodRequest();
    for (const auto& [key, value] : patch.items()) body[key] = value;
    EXPECT_THAT(WrongPointers(body), ::testing::Contains(pointer)) << body.dump();
  }
}

TEST(JobRequest, NamesWhatIsMissing) {
  EXPECT_THAT(WrongPointers(nlohmann::json::object()),
              ::testing::UnorderedElementsAre("/input", "/outputs"));
  EXPECT_THAT(WrongPointers(nlohmann::json::array()), ::testing::Contains(""));
}

TEST(JobRequest, NamesAllMistakesAtOnce) {
  nlohmann::json body = GoodRequest();
  body["priority"] = 1000;
  body["speling"] = 1;
  body["outputs"][0]["video"]["crf"] = 99;
  EXPECT_THAT(WrongPointers(body),
              ::testing::UnorderedElementsAre("/priority", "/speling", "/outputs/0/video/crf"));
}

TEST(JobRequest, ReadsBackWhatTheLedgerStores) {
  nlohmann::json body = GoodRequest();
  body["labels"] = {{"team", "news"}};
  body["external_id"] = "asset-42";
  body["clip"] = {{"start_seconds", 5}, {"duration_seconds", 60}};
  const JobRequest request = ParseJobRequest(body, NoPresets());
  const JobRequest back = JobRequestFromJson(ToJson(request));
  EXPECT_EQ(back.input, request.input);
  EXPECT_EQ(back.spec, request.spec);
  EXPECT_EQ(back.labels, request.labels);
  EXPECT_EQ(back.external_id, request.external_id);
}

Job JobIn(JobState state) {
  Job job;
  job.id = NewJobId();
  job.request = ParseJobRequest(GoodRequest(), NoPresets());
  job.state = state;
  return job;
}

TEST(JobView, ShowsOneHundredPercentOnlyWhenOutputsCanBeDownloaded) {
  const LiveJob live{.progress = {.percent = 100}, .worker = {}};
  EXPECT_EQ(JobView(JobIn(kRunning), live)["progress"]["percent"], 99);
  EXPECT_EQ(JobView(JobIn(kPublishing), live)["progress"]["percent"], 99);
  EXPECT_EQ(JobView(JobIn(kSucceeded), {})["progress"]["percent"], 100);
}

TEST(JobView, KeepsThePercentageOfAJobThatEndedWithoutOutputs) {
  for (const JobState state : {kDead, kCancelled}) {
    Job job = JobIn(state);
    job.last_progress = {.percent = 47, .phase = "", .eta_seconds = {}, .outputs = {{"web", 94}}};
    const auto view = JobView(job, {});
    EXPECT_EQ(view["progress"]["percent"], 47) << NameOf(state);
    EXPECT_EQ(view["outputs"][0]["percent"], 94) << NameOf(state);
  }
}

TEST(JobView, ListsFilesUnderTheirOutputAndNamesASkippedOne) {
  Job job = JobIn(kSucceeded);
  EXPECT_EQ(JobView(job, {})["outputs"][0]["state"], "skipped");
  job.files.push_back({.output = "web",
                       .path = "web.mp4",
                       .bytes = 7,
                       .sha256 = "ab",
                       .media_type = "video/mp4",
                       .duration_seconds = 1.5,
                       .video = nullptr,
                       .audio = nullptr});
  const auto view = JobView(job, {});
  EXPECT_EQ(view["outputs"][0]["state"], "succeeded");
  EXPECT_EQ(view["outputs"][0]["files"][0]["path"], "web.mp4");
  EXPECT_EQ(view["outputs"][0]["files"][0]["bytes"], 7);
}

TEST(PatchSpec, NamesWrongFieldsBySpecPointer) {
  JobRequest request;
  request.spec.outputs = {{.name = "web", .container = Container::kMp4, .audio = AudioSpec{}}};
  for (const auto& [patch, pointer] : std::vector<std::pair<nlohmann::json, std::string>>{
           {{{"outputs", nullptr}}, "/spec/outputs"},
           {{{"clip", {{"start_seconds", -1}}}}, "/spec/clip/start_seconds"},
           {{{"outputs", {{{"name", "a/b"}}}}}, "/spec/outputs/0/name"},
           {{{"priority", 5}}, "/spec/priority"}}) {
    try {
      PatchSpec(request, patch);
      ADD_FAILURE() << patch << " fits";
    } catch (const Error& error) {
      ASSERT_FALSE(error.fields().empty()) << patch;
      EXPECT_EQ(error.fields()[0].pointer, pointer);
    }
  }
}

TEST(JobView, ShowsWhereTheEncoderFailed) {
  Job job = JobIn(kDead);
  job.error = ToJson(Error(ErrorCode::kCorruptMedia, "damaged",
                           {{"stage", "decode"}, {"path", "/srv/uploads/1"}}));
  EXPECT_EQ(JobView(job, {})["error"]["context"], (nlohmann::json{{"stage", "decode"}}));
}

TEST(JobView, ShowsTheErrorAsAProblem) {
  Job job = JobIn(kDead);
  job.error = ToJson(Error(ErrorCode::kNotMedia, "it is text"));
  const auto view = JobView(job, {});
  EXPECT_EQ(view["error"]["code"], "not_media");
  EXPECT_EQ(view["error"]["blame"], "media");
  EXPECT_EQ(view["error"]["detail"], "it is text");
}

}  // namespace
}  // namespace millrace
