// Asks one question over TLS and prints the answer as it comes.
//
//	go run . -ca "$(palaver edge ca)" -key "$PALAVER_API_KEY" "What is the capital of France?"
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"time"

	palaverv1 "github.com/palaver-chat/palaver/gen/go/palaver/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

func main() {
	log.SetFlags(0)
	address := flag.String("address", "localhost:8443", "the edge's TLS port")
	ca := flag.String("ca", "", "PEM file of the authority that signed the edge's certificate (default: the system's)")
	key := flag.String("key", os.Getenv("PALAVER_API_KEY"), "API key, where the server asks for one")
	flag.Parse()
	if flag.NArg() == 0 {
		log.Fatal("give a question")
	}
	if err := ask(*address, *ca, *key, strings.Join(flag.Args(), " ")); err != nil {
		log.Fatal(describe(err))
	}
}

func ask(address, ca, key, question string) error {
	trust := credentials.NewTLS(nil)
	if ca != "" {
		var err error
		if trust, err = credentials.NewClientTLSFromFile(ca, ""); err != nil {
			return err
		}
	}
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(trust))
	if err != nil {
		return err
	}
	defer connection.Close()

	// The deadline travels with the call: the engine stops when it is over.
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if key != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "x-api-key", key)
	}
	stream, err := palaverv1.NewChatServiceClient(connection).StreamChat(ctx, &palaverv1.StreamChatRequest{
		Chat: &palaverv1.ChatRequest{Messages: []*palaverv1.Message{{
			Role:    palaverv1.Role_ROLE_USER,
			Content: []*palaverv1.ContentPart{{Part: &palaverv1.ContentPart_Text{Text: question}}},
		}}},
	})
	if err != nil {
		return err
	}
	for {
		event, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			fmt.Println()
			return nil
		}
		if err != nil {
			return err
		}
		fmt.Print(event.GetDelta().GetText())
	}
}

// describe adds the reason, which programs may switch on, and the time to wait, where waiting helps.
func describe(err error) string {
	text := err.Error()
	for _, detail := range status.Convert(err).Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			text += " (" + detail.GetReason() + ")"
		case *errdetails.RetryInfo:
			text += fmt.Sprintf("; try again in %s", detail.GetRetryDelay().AsDuration())
		}
	}
	return text
}
