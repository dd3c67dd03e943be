"""The order intake service; to follow an order through it, read ARCHITECTURE.md first."""

import os

# gRPC's fork support starts threads of gRPC's in a child that a handler forks, on state that was in
# use in its parent: they die by SIGSEGV. gRPC looks at this when it is imported.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
