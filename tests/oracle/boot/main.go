// SPDX-License-Identifier: Apache-2.0

// boot: what go-attestation, and of logs go-eventlog, make of event logs and quotes. One JSON object a line in, one out.
package main

import (
	"bufio"
	"crypto"
	_ "crypto/sha1"
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/json"
	"fmt"
	"os"

	"github.com/google/go-attestation/attest"
	"github.com/google/go-eventlog/register"
	"github.com/google/go-eventlog/tcg"
)

type value struct {
	Bank   string `json:"bank"`
	Index  int    `json:"index"`
	Digest []byte `json:"digest"`
}

type job struct {
	Log       []byte  `json:"log"`
	PCRs      []value `json:"pcrs"`
	AK        []byte  `json:"ak"`
	Quote     []byte  `json:"quote"`
	Signature []byte  `json:"signature"`
	Nonce     []byte  `json:"nonce"`
}

type verdict struct {
	Parsed     bool   `json:"parsed"`
	Replayed   bool   `json:"replayed"`
	SecureBoot string `json:"secure_boot"`
	Quoted     bool   `json:"quoted"`
	Eventlog   string `json:"eventlog"` // "parsed", "replayed", or why not
	Why        string `json:"why"`
}

var banks = map[string]crypto.Hash{"sha1": crypto.SHA1, "sha256": crypto.SHA256, "sha384": crypto.SHA384}

func judgeLog(j job, pcrs []attest.PCR, v *verdict) error {
	log, err := attest.ParseEventLog(j.Log)
	if err != nil {
		return err
	}
	v.Parsed = true
	events, err := log.Verify(pcrs)
	if err != nil {
		return err
	}
	v.Replayed = true
	state, err := attest.ParseSecurebootState(events)
	if err != nil {
		return err
	}
	v.SecureBoot = map[bool]string{false: "no", true: "yes"}[state.Enabled]
	return nil
}

// By go-eventlog, which also takes the rest of the area that a log was kept in.
func judgeEventlog(j job) string {
	var values []register.MR
	for _, p := range j.PCRs {
		values = append(values, register.PCR{Index: p.Index, Digest: p.Digest, DigestAlg: banks[p.Bank]})
	}
	log, err := tcg.ParseEventLog(j.Log, tcg.ParseOpts{AllowPadding: true})
	if err != nil {
		return err.Error()
	}
	if _, err := log.Verify(values); err != nil {
		return "parsed"
	}
	return "replayed"
}

func judgeQuote(j job, pcrs []attest.PCR) error {
	ak, err := attest.ParseAKPublic(j.AK)
	if err != nil {
		return err
	}
	return ak.Verify(attest.Quote{Quote: j.Quote, Signature: j.Signature}, pcrs, j.Nonce)
}

func judge(j job) verdict {
	v := verdict{SecureBoot: "unknown"}
	var pcrs []attest.PCR
	for _, p := range j.PCRs {
		pcrs = append(pcrs, attest.PCR{Index: p.Index, Digest: p.Digest, DigestAlg: banks[p.Bank]})
	}
	var err error
	if j.Quote != nil {
		err = judgeQuote(j, pcrs)
		v.Quoted = err == nil
	} else {
		err = judgeLog(j, pcrs, &v)
		v.Eventlog = judgeEventlog(j)
	}
	if err != nil {
		v.Why = err.Error()
	}
	return v
}

func main() {
	out := json.NewEncoder(os.Stdout)
	in := json.NewDecoder(bufio.NewReader(os.Stdin))
	for in.More() {
		var j job
		if err := in.Decode(&j); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		out.Encode(judge(j))
	}
}
