#include <gtest/gtest.h>

#include "core/base/files.h"
#include "tests/system/dead_letter_checks.h"
#include "tests/system/service_test.h"

// The dead-letter queue for its operators: finding, examining, redriving and purging letters.

namespace millrace::harness {
namespace {

class DeadLettersTest : public ServiceTest {
 protected:
  static HttpAnswer Post(Service& service, const std::string& path, const json& body,
                         const std::string& key = "") {
    HttpCall call = {.method = "POST",
                     .path = path,
                     .headers = {"Content-Type: application/json"},
                     .body = body.dump()};
    if (!key.empty()) call.headers.push_back("Idempotency-Key: " + key);
    return service.client().http().Send(call);
  }
  // Ask for a picture of a file with sound alone; with sound as its output the job succeeds.
  static std::string StartHopeless(Service& service) {
    return service.client().Start(fixtures::FixturePath("audio-pcm.wav"),
                                  json::array({QuickPoster()}));
  }
  static std::string Die(Service& service) {
    std::string id = StartHopeless(service);
    EXPECT_EQ(service.client().WaitForEnd(id).at("error").at("code"), "no_matching_streams");
    return id;
  }
  static json SoundInstead() {
    return {
        {"outputs", {{{"name", "sound"}, {"container", "m4a"}, {"audio", {{"codec", "aac"}}}}}}};
  }
  static std::vector<std::string> JobsOf(const json& page) {
    std::vector<std::string> jobs;
    for (const json& letter : page.at("dead_letters")) jobs.push_back(letter.at("job"));
    return jobs;
  }
};

TEST_F(DeadLettersTest, AFailureCanBeExaminedAndRepeatedOverHttpAlone) {
  Service& service = Begin({.workers = 1});
  Client& client = service.client();
  const std::filesystem::path broken = fixtures::FixturePath("truncated-no-moov.mp4");
  const std::string id = client.Start(broken, QuickOutputs());
  const json job = client.WaitForEnd(id);
  ASSERT_EQ(job.at("state"), "dead") << job.dump();
  EXPECT_FALSE(job.at("error").at("context").at("stage").get<std::string>().empty());

  const std::string path = job.at("links").at("dead_letter");
  const json page = client.Get("/v1/dead-letters?blame=media");
  ASSERT_EQ(JobsOf(page), std::vector<std::string>{id});
  const json listed = page.at("dead_letters").at(0);
  EXPECT_EQ(listed.at("code"), job.at("error").at("code"));
  EXPECT_EQ(listed.at("links").at("self"), path);
  const json groups = client.Get("/v1/dead-letters?group_by=signature").at("groups");
  ASSERT_EQ(groups.size(), 1u) << groups.dump();
  EXPECT_EQ(groups[0].at("count"), 1);
  EXPECT_EQ(groups[0].at("example_job"), id);
  EXPECT_EQ(JobsOf(client.Get(groups[0].at("links").at("dead_letters"))),
            std::vector<std::string>{id});

  const json letter = client.Get(path);
  EXPECT_EQ(letter.at("report").at("error").at("code"), listed.at("code"));
  const HttpAnswer log = client.http().Send({.path = letter.at("links").at("log")});
  EXPECT_EQ(log.status, 200);
  EXPECT_FALSE(log.body.empty());
  const HttpAnswer input = client.http().Send({.path = letter.at("links").at("input")});
  EXPECT_EQ(input.status, 200);
  EXPECT_EQ(input.body, ReadWholeFile(broken));
  EXPECT_EQ(input.Header("content-disposition"), "attachment; filename=\"truncated-no-moov.mp4\"");

  // Use nothing but the downloaded files.
  const std::filesystem::path folder = service.download_dir() / "letter";
  std::filesystem::create_directories(folder);
  for (const json& file : letter.at("files")) {
    const std::filesystem::path place = folder / file.at("name").get<std::string>();
    EXPECT_EQ(client.http().Download(file.at("url"), place).status, 200) << file.dump();
    EXPECT_EQ(std::filesystem::file_size(place), file.at("bytes"));
  }
  std::filesystem::permissions(folder / "repro.sh", std::filesystem::perms::owner_exec,
                               std::filesystem::perm_options::add);
  ExpectReproduced(folder);
}

TEST_F(DeadLettersTest, AJobWithAWrongSpecSucceedsWithACorrectedOne) {
  Service& service = Begin({.workers = 1});
  Client& client = service.client();
  const std::string id = Die(service);
  const std::string path = "/v1/dead-letters/" + id;
  const HttpAnswer wrong =
      Post(service, path + "/redrive", {{"spec", {{"clip", {{"start_seconds", -1}}}}}});
  EXPECT_EQ(wrong.status, 400) << wrong.body;
  EXPECT_EQ(wrong.Json().at("errors").at(0).at("pointer"), "/spec/clip/start_seconds");

  const json redrive = {{"spec", SoundInstead()}, {"generation", 1}};
  const HttpAnswer answer = Post(service, path + "/redrive", redrive);
  ASSERT_EQ(answer.status, 202) << answer.body;
  EXPECT_EQ(answer.Header("location"), "/v1/jobs/" + id);
  EXPECT_EQ(answer.Json().at("generation"), 2);
  const HttpAnswer again = Post(service, path + "/redrive", redrive);
  EXPECT_EQ(again.status, 202) << again.body;
  EXPECT_EQ(again.Json().at("generation"), 2) << "a repetition has begun another generation";

  const json job = client.WaitForEnd(id);
  ASSERT_EQ(job.at("state"), "succeeded") << job.dump();
  client.Fetch(FilesOf(job, "sound").at(0), service.download_dir());
  EXPECT_FALSE(job.at("links").contains("dead_letter"));
  EXPECT_EQ(client.Get(path).at("state"), "redriven");
  EXPECT_EQ(client.Get("/v1/dead-letters").at("dead_letters"), json::array());
  EXPECT_EQ(Post(service, path + "/redrive", json::object()).status, 404);
  EXPECT_EQ(client.http().Send({.method = "DELETE", .path = path}).status, 404)
      << "a job that has succeeded has nothing to be purged";
}

TEST_F(DeadLettersTest, ManyJobsFollowTheirCanary) {
  Service& service = Begin({.workers = 1});
  Client& client = service.client();
  std::vector<std::string> ids;
  for (int i = 0; i < 3; ++i) ids.push_back(Die(service));
  const json filter = {{"code", "no_matching_streams"}};
  const HttpAnswer counted =
      Post(service, "/v1/dead-letters/redrive", {{"filter", filter}, {"dry_run", true}});
  EXPECT_EQ(counted.status, 200);
  EXPECT_EQ(counted.Json(), (json{{"count", 3}}));

  // Redrive with a canary that dies again, so that the others stay dead.
  const HttpAnswer vain =
      Post(service, "/v1/dead-letters/redrive", {{"filter", filter}, {"canary", true}});
  ASSERT_EQ(vain.status, 202) << vain.body;
  const std::string canary = vain.Json().at("redrive").at("canary");
  EXPECT_EQ(canary, ids[0]) << "the oldest goes first";
  client.WaitForEnd(canary);
  const std::string stopped = vain.Json().at("redrive").at("links").at("self");
  ASSERT_TRUE(Eventually([&] { return client.Get(stopped).at("state") == "stopped"; }, 20s));
  EXPECT_EQ(client.Job(ids[1]).at("generation"), 1);

  const json request = {{"filter", filter}, {"canary", true}, {"spec", SoundInstead()}};
  const HttpAnswer begun = Post(service, "/v1/dead-letters/redrive", request, "fix-1");
  ASSERT_EQ(begun.status, 202) << begun.body;
  EXPECT_EQ(begun.Json().at("count"), 3);
  const std::string self = begun.Json().at("redrive").at("links").at("self");
  EXPECT_EQ(begun.Header("location"), self);
  ASSERT_TRUE(Eventually([&] { return client.Get(self).at("state") == "released"; }, 60s))
      << client.Get(self).dump();
  for (const std::string& id : ids) {
    EXPECT_EQ(client.WaitForEnd(id).at("state"), "succeeded") << id;
  }
  const HttpAnswer again = Post(service, "/v1/dead-letters/redrive", request, "fix-1");
  EXPECT_EQ(again.status, 202) << again.body;
  EXPECT_EQ(again.Json().at("redrive").at("links").at("self"), self);
  EXPECT_EQ(client.Job(ids[1]).at("generation"), 2);
}

TEST_F(DeadLettersTest, APurgeRemovesTheCountedLettersAndLeavesTombstones) {
  Service& service = Begin({.workers = 1});
  Client& client = service.client();
  std::vector<std::string> ids;
  for (int i = 0; i < 3; ++i) ids.push_back(Die(service));
  const std::string path = "/v1/dead-letters/" + ids[0];
  const auto folder = [&](const std::string& id) {
    return service.data_dir() / "dead-letter" / id;
  };
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(client.http().Send({.method = "DELETE", .path = path}).status, 204);
  }
  EXPECT_TRUE(Eventually([&] { return !std::filesystem::exists(folder(ids[0])); }, 20s));

  const json filter = {{"blame", "media"}};
  EXPECT_EQ(Post(service, "/v1/dead-letters/purge", {{"filter", filter}, {"dry_run", true}}).Json(),
            (json{{"count", 2}}));
  EXPECT_EQ(Post(service, "/v1/dead-letters/purge", {{"filter", filter}, {"expected", 3}}).status,
            412);
  EXPECT_TRUE(std::filesystem::exists(folder(ids[1]))) << "nothing may be purged by a wrong count";
  for (int i = 0; i < 2; ++i) {
    const HttpAnswer purged =
        Post(service, "/v1/dead-letters/purge", {{"filter", filter}, {"expected", 2}}, "tidy-up");
    EXPECT_EQ(purged.status, 200) << purged.body;
    EXPECT_EQ(purged.Json(), (json{{"count", 2}}));
  }
  EXPECT_TRUE(Eventually([&] { return !std::filesystem::exists(folder(ids[2])); }, 20s));

  EXPECT_EQ(client.Get("/v1/dead-letters").at("dead_letters"), json::array());
  EXPECT_EQ(client.Get("/v1/dead-letters?state=purged").at("dead_letters").size(), 3u);
  const json tombstone = client.Get(path);
  EXPECT_EQ(tombstone.at("state"), "purged");
  EXPECT_FALSE(tombstone.at("closed_at").is_null());
  EXPECT_TRUE(tombstone.at("report").is_null());
  EXPECT_EQ(tombstone.at("files"), json::array());
  EXPECT_EQ(client.http().Send({.path = path + "/input"}).status, 404);
  EXPECT_EQ(Post(service, path + "/redrive", {{"generation", 1}}).status, 404);
  EXPECT_EQ(client.Job(ids[0]).at("state"), "dead");
}

}  // namespace
}  // namespace millrace::harness
