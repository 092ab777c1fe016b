#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/system/service_test.h"

namespace millrace::harness {
namespace {

class ViewsTest : public ServiceTest {
 protected:
  // Returns the schema of an answer from the service's OpenAPI description.
  static void ExpectAsDescribed(const json& answer, const json& schema) {
    std::set<std::string> described;
    for (const auto& [name, property] : schema.at("properties").items()) described.insert(name);
    std::set<std::string> answered;
    for (const auto& [name, value] : answer.items()) answered.insert(name);
    EXPECT_EQ(answered, described);
    EXPECT_THAT(answered,
                testing::IsSupersetOf(schema.at("required").get<std::set<std::string>>()));
  }
};

TEST_F(ViewsTest, QueueAndWorkersMatchTheOpenApiDescription) {
  Service& service = Begin({.workers = 1});
  const json schemas = service.client().Get("/openapi.json").at("components").at("schemas");
  const json queue = service.client().Get("/v1/queue");
  ExpectAsDescribed(queue, schemas.at("Queue"));
  const json& janitor = schemas.at("Queue").at("properties").at("janitor");
  ExpectAsDescribed(queue.at("janitor"), janitor);

  const json worker = service.client().Get("/v1/workers").at("workers").at(0);
  ExpectAsDescribed(worker, schemas.at("Worker"));
  ExpectAsDescribed(worker.at("breaker"), schemas.at("Worker").at("properties").at("breaker"));
  EXPECT_EQ(worker.at("breaker").at("state"), "closed");
}

}  // namespace
}  // namespace millrace::harness
