module affiant.dev/tests/oracle/boot

go 1.24.0

require (
	github.com/google/go-attestation v0.6.1
	github.com/google/go-eventlog v0.0.2
)

require (
	github.com/google/go-tpm v0.9.8 // indirect
	golang.org/x/sys v0.41.0 // indirect
	google.golang.org/protobuf v1.34.2 // indirect
)
