// A program for test pods, the only one in its image (I/O: serves HTTP; with arguments looks up, fetches, writes).
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 0:
		return serve()
	case args[0] == "lookup" && len(args) == 2:
		addresses, err := net.LookupHost(args[1])
		fmt.Println(addresses)
		return err
	case args[0] == "fetch" && len(args) == 2:
		return fetch(args[1], 0)
	case args[0] == "fetch" && len(args) == 3 && strings.HasPrefix(args[1], "--within="):
		within, err := time.ParseDuration(strings.TrimPrefix(args[1], "--within="))
		if err != nil {
			return err
		}
		return fetch(args[2], within)
	case args[0] == "write" && len(args) == 2:
		return os.WriteFile(args[1], []byte("written\n"), 0o600)
	case args[0] == "cat" && len(args) == 2:
		raw, err := os.ReadFile(args[1])
		fmt.Print(string(raw))
		return err
	}
	return fmt.Errorf("unknown arguments %q", args)
}

func serve() error {
	fmt.Printf("serving as uid %d\n", os.Getuid())
	http.HandleFunc("/stream", func(w http.ResponseWriter, r *http.Request) {
		for i := range 3 {
			fmt.Fprintf(w, "part %d\n", i)
			w.(http.Flusher).Flush()
			time.Sleep(time.Second)
		}
	})
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "path=%s host=%s proto=%s for=%s forwarded-host=%s\n", r.URL.Path, r.Host,
			r.Header.Get("X-Forwarded-Proto"), r.Header.Get("X-Forwarded-For"), r.Header.Get("X-Forwarded-Host"))
	})
	return http.ListenAndServe(":8080", nil)
}

func fetch(url string, within time.Duration) error {
	asker := http.Client{Timeout: within} // for ever, when it is 0
	response, err := asker.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(os.Stdout, response.Body)
	return err
}
