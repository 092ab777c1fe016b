#include <gmock/gmock.h>

#include "tests/broker/dispatcher/harness.h"

// Jobs that are planned as several tasks.

namespace millrace::broker {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;

class TasksTest : public DispatcherTest {
 protected:
  TasksTest() {
    options.planner.task_overhead = 0s;
    Start();
  }

  std::string SubmitInParts() { return Submit({.bytes = 1'000'000, .in_parts = true}); }
  // Three workers, each of which has one of the tasks.
  std::string RunInParts() {
    for (const char* name : {"host/1", "host/2", "host/3"}) Register(name);
    return SubmitInParts();
  }

  // The task that makes this output.
  TaskRecord Part(const std::string& job_id, const std::string& output) const {
    for (const TaskRecord& task : books.tasks_of(job_id)) {
      if (task.spec && task.spec->outputs.at(0).name == output) return task;
    }
    ADD_FAILURE() << "no task of its own makes " << output;
    return {};
  }
  TaskState StateOf(const std::string& job_id, const std::string& output) const {
    return Part(job_id, output).state;
  }
  std::string HolderOf(const std::string& job_id, const std::string& output) const {
    return Part(job_id, output).last_worker + "#1";
  }

  void FinishPart(const std::string& job_id, const std::string& output) {
    const TaskRecord task = Part(job_id, output);
    json manifest = ManifestJson();
    manifest["files"][0]["output"] = output;
    manifest["files"][0]["path"] = output + ".mkv";
    Worker(task.last_worker + "#1", "finished",
           {{"task", task.id},
            {"fence", task.fence},
            {"manifest", std::move(manifest)},
            {"usage", json::object()}});
  }
  void FailPart(const std::string& job_id, const std::string& output, ErrorCode code,
                const json& context = json::object()) {
    const TaskRecord task = Part(job_id, output);
    const AttemptFailure failure{
        .error = Error(code, "it broke", context), .usage = {}, .log_tail = {}};
    Worker(task.last_worker + "#1", "failed",
           {{"task", task.id}, {"fence", task.fence}, {"failure", ToJson(failure)}});
  }
  void ReleasePart(const std::string& job_id, const std::string& output) {
    const TaskRecord task = Part(job_id, output);
    Release(task.last_worker + "#1", task.id, task.fence, "cancelled");
  }
  void BeatPart(const std::string& job_id, const std::string& output, int percent) {
    const TaskRecord task = Part(job_id, output);
    const Progress progress{.percent = percent,
                            .phase = "transcoding",
                            .fps = 10,
                            .speed = percent / 10.0,
                            .eta_seconds = 100.0 - percent,
                            .outputs = {{output, percent}}};
    Beat(task.last_worker + "#1",
         json::array({{{"task", task.id}, {"fence", task.fence}, {"progress", ToJson(progress)}}}));
  }
  int PercentOf(const std::string& job_id) const {
    return dispatcher->Live(job_id).progress.percent;
  }
};

TEST_F(TasksTest, RunAtTheSameTimeOnSeveralWorkersEachWithItsOwnSpec) {
  const std::string id = RunInParts();
  ASSERT_THAT(books.tasks_of(id), SizeIs(3));
  EXPECT_EQ(State(id), JobState::kRunning);
  std::set<std::string> workers;
  for (const char* output : {"web", "sound", "copy"}) {
    EXPECT_EQ(StateOf(id, output), TaskState::kLeased);
    workers.insert(HolderOf(id, output));
    const std::vector<Message> assigns = Sent(HolderOf(id, output), "assign");
    ASSERT_THAT(assigns, SizeIs(1));
    EXPECT_EQ(assigns[0].body["spec"], ToJson(*Part(id, output).spec));
    EXPECT_EQ(assigns[0].body["job"], id);
  }
  EXPECT_THAT(workers, SizeIs(3));
}

TEST_F(TasksTest, AreOneWhereOnlyOneCanRun) {
  Register("host/1");
  const std::string id = SubmitInParts();
  ASSERT_THAT(books.tasks_of(id), SizeIs(1));
  EXPECT_EQ(TaskOf(id).spec, std::nullopt);
  EXPECT_EQ(Sent("host/1#1", "assign").at(0).body["spec"], ToJson(books.job(id).request.spec));
}

TEST_F(TasksTest, ArePublishedTogetherWhenTheLastIsDone) {
  const std::string id = RunInParts();
  FinishPart(id, "copy");
  EXPECT_EQ(State(id), JobState::kRunning);
  EXPECT_THAT(All<PublishOutputs>(), IsEmpty());
  FinishPart(id, "web");
  FinishPart(id, "sound");
  EXPECT_EQ(State(id), JobState::kPublishing);
  ASSERT_THAT(All<PublishOutputs>(), SizeIs(1));
  EXPECT_THAT(All<PublishOutputs>()[0].made, SizeIs(3));
  Published(id);
  const Job& job = books.job(id);
  EXPECT_EQ(job.state, JobState::kSucceeded);
  EXPECT_EQ(job.published_fence, 3);
  std::vector<std::string> outputs;
  for (const OutputFile& file : job.files) outputs.push_back(file.output);
  EXPECT_THAT(outputs, UnorderedElementsAre("web", "sound", "copy"));
  EXPECT_THAT(job.warnings, SizeIs(1)) << "each has the same warning of the input";
}

TEST_F(TasksTest, RetryAlone) {
  const std::string id = RunInParts();
  FinishPart(id, "copy");
  FailPart(id, "sound", ErrorCode::kStorageError);
  EXPECT_EQ(State(id), JobState::kRunning) << "another runs";
  EXPECT_EQ(StateOf(id, "sound"), TaskState::kRetryWait);
  FinishPart(id, "web");
  EXPECT_EQ(State(id), JobState::kRetryWait);
  EXPECT_EQ(books.job(id).error["code"], "storage_error");
  Advance(1s);
  EXPECT_EQ(State(id), JobState::kRunning);
  EXPECT_EQ(Part(id, "sound").attempts_spent, 1);
  EXPECT_EQ(Part(id, "web").attempts_spent, 0);
  FinishPart(id, "sound");
  Published(id);
  EXPECT_EQ(State(id), JobState::kSucceeded);
  EXPECT_EQ(books.job(id).published_fence, 4);
}

TEST_F(TasksTest, AreQueuedAgainAloneWhenTheirWorkerIsLost) {
  const std::string id = RunInParts();
  const std::string lost = HolderOf(id, "web");
  Worker(lost, "goodbye", json::object());
  EXPECT_EQ(StateOf(id, "web"), TaskState::kQueued);
  EXPECT_EQ(State(id), JobState::kRunning);
  FinishPart(id, "sound");
  EXPECT_EQ(StateOf(id, "web"), TaskState::kLeased) << "on the worker that is free now";
}

TEST_F(TasksTest, AreStoppedBeforeTheJobIsBuriedWhenOneFailsForGood) {
  const std::string id = RunInParts();
  FinishPart(id, "copy");
  const Fence done = Part(id, "copy").fence;
  const std::string web_worker = HolderOf(id, "web");
  FailPart(id, "sound", ErrorCode::kNoDecoder);
  EXPECT_THAT(Sent(web_worker, "cancel"), SizeIs(1));
  EXPECT_THAT(All<Bury>(), IsEmpty());
  EXPECT_EQ(State(id), JobState::kRunning);
  Cancel(id);
  EXPECT_EQ(ReplyCode(), "job_finished");

  ReleasePart(id, "web");
  EXPECT_EQ(StateOf(id, "web"), TaskState::kCancelled);
  ASSERT_THAT(All<Bury>(), SizeIs(1));
  const json report = All<Bury>()[0].letter.report;
  EXPECT_EQ(report["task"], Part(id, "sound").id);
  EXPECT_EQ(report["error"]["code"], "no_decoder");
  EXPECT_EQ(All<Bury>()[0].letter.task["task"], Part(id, "sound").id);
  EXPECT_EQ(report["tasks"].size(), 3u);
  Buried(id);
  EXPECT_EQ(State(id), JobState::kDead);
  EXPECT_THAT(Discarded(), Contains(done));
  EXPECT_EQ(books.letter(id).worker, Part(id, "sound").last_worker);
}

TEST_F(TasksTest, AreStoppedAndBuriedAlsoIfTheLastOneIsLost) {
  const std::string id = RunInParts();
  FailPart(id, "sound", ErrorCode::kNoDecoder);
  FinishPart(id, "web");
  EXPECT_EQ(StateOf(id, "web"), TaskState::kCancelled) << "too late to be of use";
  EXPECT_THAT(All<Bury>(), IsEmpty());
  Restart();
  EXPECT_THAT(All<Bury>(), IsEmpty()) << "one may still run";
  Advance(options.lease + 1s);
  EXPECT_THAT(All<Bury>(), SizeIs(1));
}

TEST_F(TasksTest, AreCancelledTogether) {
  const std::string id = RunInParts();
  FinishPart(id, "copy");
  const Fence done = Part(id, "copy").fence;
  Cancel(id);
  EXPECT_EQ(State(id), JobState::kCancelling);
  ReleasePart(id, "sound");
  EXPECT_EQ(State(id), JobState::kCancelling);
  ReleasePart(id, "web");
  EXPECT_EQ(State(id), JobState::kCancelled);
  EXPECT_THAT(Discarded(), Contains(done));
}

TEST_F(TasksTest, ShowOneProgressThatWeighsThemAndNeverFalls) {
  const std::string id = RunInParts();
  BeatPart(id, "web", 50);
  const int half = PercentOf(id);
  EXPECT_GT(half, 25) << "the encode of the picture takes longest";
  EXPECT_LT(half, 50);
  BeatPart(id, "sound", 80);
  EXPECT_GE(PercentOf(id), half);
  LiveJob live = dispatcher->Live(id);
  EXPECT_EQ(live.progress.eta_seconds, 50);
  EXPECT_EQ(live.progress.speed, 5);
  EXPECT_EQ(live.progress.fps, 20);
  EXPECT_THAT(live.progress.outputs,
              UnorderedElementsAre(std::pair("web", 50), std::pair("sound", 80)));

  const int before = PercentOf(id);
  FailPart(id, "web", ErrorCode::kStorageError);
  EXPECT_EQ(PercentOf(id), before);
  FinishPart(id, "sound");
  EXPECT_GE(PercentOf(id), before);
  live = dispatcher->Live(id);
  EXPECT_THAT(live.progress.outputs, Contains(std::pair("sound", 100)));
  EXPECT_THAT(live.progress.outputs, Contains(std::pair("web", 50)));
}

TEST_F(TasksTest, GoOnWhereTheyWereWhenTheBrokerIsRestarted) {
  const std::string id = RunInParts();
  FinishPart(id, "copy");
  FailPart(id, "sound", ErrorCode::kStorageError);
  const int percent = PercentOf(id);
  Restart();
  EXPECT_EQ(StateOf(id, "copy"), TaskState::kDone);
  EXPECT_EQ(PercentOf(id), percent);
  EXPECT_TRUE(dispatcher->OwnsWork(Part(id, "copy").id, Part(id, "copy").fence));
  const TaskRecord web = Part(id, "web");
  Worker(web.last_worker + "#1", "register",
         RegisterBody(web.last_worker, 1, Names({{web.id, web.fence}})));
  FinishPart(id, "web");
  Advance(1s);
  FinishPart(id, "sound");
  EXPECT_EQ(State(id), JobState::kPublishing);
  Restart();
  EXPECT_THAT(All<PublishOutputs>().at(0).made, SizeIs(3));
  Published(id);
  EXPECT_EQ(State(id), JobState::kSucceeded);
}

TEST_F(TasksTest, RunAgainAloneWhenTheirFilesAreGone) {
  const std::string id = RunInParts();
  for (const char* output : {"web", "sound", "copy"}) FinishPart(id, output);
  PublishFailed(id, ErrorCode::kOutputNotFound, {Part(id, "sound").id});
  EXPECT_EQ(State(id), JobState::kRunning);
  EXPECT_EQ(StateOf(id, "web"), TaskState::kDone);
  EXPECT_EQ(StateOf(id, "sound"), TaskState::kLeased);
  FinishPart(id, "sound");
  Published(id);
  EXPECT_EQ(books.job(id).published_fence, 4);
}

TEST_F(TasksTest, ArePublishedWhenStorageWorksAgain) {
  const std::string id = RunInParts();
  for (const char* output : {"web", "sound", "copy"}) FinishPart(id, output);
  PublishFailed(id, ErrorCode::kStorageError, {});
  EXPECT_EQ(State(id), JobState::kPublishing);
  Advance(60s);
  EXPECT_THAT(All<PublishOutputs>(), SizeIs(1));
}

TEST_F(TasksTest, AreSkippedWhereTheInputHasNothingForThem) {
  const std::string id = RunInParts();
  FailPart(id, "sound", ErrorCode::kNoMatchingStreams, {{"stage", "probe"}});
  EXPECT_EQ(StateOf(id, "sound"), TaskState::kDone);
  FinishPart(id, "web");
  FinishPart(id, "copy");
  EXPECT_THAT(All<PublishOutputs>().at(0).made, SizeIs(2));
  EXPECT_EQ(PublishedFence(All<PublishOutputs>()[0].made),
            std::max(Part(id, "web").fence, Part(id, "copy").fence));
  const Fence fence = PublishedFence(All<PublishOutputs>()[0].made);
  Do(dispatcher->OnResult(broker::Published{.job_id = id, .fence = fence}, now()));
  EXPECT_EQ(State(id), JobState::kSucceeded);
  EXPECT_THAT(books.job(id).warnings,
              Contains(Warning{.code = "output_skipped", .detail = "output sound: it broke"}));
}

TEST_F(TasksTest, EndTheirJobWhereTheInputHasNothingForAnyOfThem) {
  const std::string id = RunInParts();
  for (const char* output : {"web", "sound", "copy"}) {
    FailPart(id, output, ErrorCode::kNoMatchingStreams, {{"stage", "probe"}});
  }
  ASSERT_THAT(All<Bury>(), SizeIs(1));
  EXPECT_EQ(All<Bury>()[0].letter.report["error"]["code"], "no_matching_streams");
}

TEST_F(TasksTest, AreAllRedriven) {
  const std::string id = RunInParts();
  FinishPart(id, "copy");
  FailPart(id, "sound", ErrorCode::kNoDecoder);
  ReleasePart(id, "web");
  Buried(id);
  Redrive(id);
  EXPECT_EQ(State(id), JobState::kRunning);
  for (const char* output : {"web", "sound", "copy"}) {
    EXPECT_EQ(StateOf(id, output), TaskState::kLeased) << output;
    FinishPart(id, output);
  }
  Published(id);
  EXPECT_EQ(State(id), JobState::kSucceeded);
}

TEST_F(TasksTest, ArePlannedAnewForAChangedSpec) {
  const std::string id = RunInParts();
  FailPart(id, "sound", ErrorCode::kNoDecoder);
  ReleasePart(id, "web");
  ReleasePart(id, "copy");
  Buried(id);
  const std::string before = Part(id, "web").id;
  Redrive(id, 1, {{"outputs", ToJson(RequestOf({}).spec)["outputs"]}});
  ASSERT_THAT(books.tasks_of(id), SizeIs(1));
  EXPECT_NE(TaskOf(id).id, before);
  FinishJob(id);
  Published(id);
  EXPECT_EQ(State(id), JobState::kSucceeded);
}

TEST_F(TasksTest, WaitForTheTasksThatTheyDependOn) {
  Job job;
  job.id = NewJobId();
  job.request = RequestOf({.in_parts = true});
  std::vector<PlannedTask> plan(2);
  plan[1].dependencies = {0};
  std::vector<TaskRecord> tasks = MakeTasks(job, plan);
  tasks[1].state = TaskState::kBlocked;
  books.Commit({InsertJob{job}, PutTask{tasks[0]}, PutTask{tasks[1]},
                AppendEvent{{.sequence = 1,
                             .job_id = job.id,
                             .event = JobEvent::kSubmit,
                             .state = JobState::kQueued}}});
  Restart();
  Register("host/1");
  Register("host/2");
  EXPECT_EQ(books.tasks_of(job.id)[1].state, TaskState::kBlocked);
  Finish("host/1#1", tasks[0].id, 1);
  EXPECT_EQ(books.tasks_of(job.id)[1].state, TaskState::kLeased);
  EXPECT_EQ(State(job.id), JobState::kRunning);
  Restart();
  Cancel(job.id);
  Advance(options.lease + 1s);
  EXPECT_EQ(State(job.id), JobState::kCancelled);
}

TEST_F(TasksTest, OfKnownPoisonAreBuriedTogether) {
  for (const char* name : {"host/1", "host/2", "host/3"}) Register(name);
  const std::string first = Submit({.sha256 = "bad"});
  FailJob(first, ErrorCode::kEncoderCrashed);
  Advance(1s);
  FailJob(first, ErrorCode::kEncoderCrashed);
  Buried(first);
  ASSERT_EQ(State(first), JobState::kDead);
  const std::string id = Submit({.sha256 = "bad", .bytes = 1'000'000, .in_parts = true});
  ASSERT_THAT(books.tasks_of(id), SizeIs(3));
  ASSERT_THAT(All<Bury>(), SizeIs(1));
  Buried(id);
  EXPECT_EQ(State(id), JobState::kDead);
  Redrive(id);
  EXPECT_EQ(State(id), JobState::kRunning);
}

}  // namespace
}  // namespace millrace::broker
