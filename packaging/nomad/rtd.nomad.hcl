# rtd on Nomad, with the image of the Dockerfile: nomad job run rtd.nomad.hcl
job "rtd" {
  type = "service"

  group "rtd" {
    count = 1

    network {
      port "metrics" {
        to = 9180
      }
      port "greeter" {
        to = 8080
      }
    }

    # rtd restarts its tasks itself; this is for rtd.
    restart {
      attempts = 5
      interval = "5m"
      delay    = "1s"
      mode     = "fail"
    }

    service {
      name     = "rtd"
      port     = "metrics"
      provider = "nomad"

      check {
        name     = "ready"
        type     = "http"
        path     = "/readyz"
        interval = "5s"
        timeout  = "5s"
      }
      check {
        name     = "alive"
        type     = "http"
        path     = "/livez"
        interval = "10s"
        timeout  = "5s"

        check_restart {
          limit = 3
          grace = "60s"
        }
      }
    }

    task "rtd" {
      driver = "docker"

      config {
        image           = "rtd:0.1.0"
        ports           = ["metrics", "greeter"]
        readonly_rootfs = true
        cap_drop        = ["all"]
        security_opt    = ["no-new-privileges"]
        args            = ["--config", "/local/rtd.json", "--state-dir", "/var/lib/rtd"]

        mount {
          type   = "tmpfs"
          target = "/run/rtd"
          tmpfs_options {
            size = 1048576
            mode = 511
          }
        }
        mount {
          type   = "volume"
          target = "/var/lib/rtd"
        }
      }

      # A changed configuration is reloaded as one change, and touches only what differs.
      template {
        destination   = "local/rtd.json"
        change_mode   = "script"
        change_script {
          command       = "/usr/bin/rtctl"
          args          = ["config", "reload", "--wait"]
          timeout       = "30s"
          fail_on_error = false
        }
        data = <<CONFIGURATION
{
  "http": {"listen": "0.0.0.0:9180"},
  "log": {"level": "info", "format": "json"},
  "plugins": {
    "hello": {"path": "hello.so"},
    "workers": {"path": "workers.so"}
  },
  "sandboxes": {
    "default": {
      "isolation": {"mode": "best-effort", "grants": {"listen": ["*:8080"]}}
    }
  },
  "tasks": {
    "greeter": {"plugin": "hello", "entry": "serve", "params": {"listen": "0.0.0.0:8080"}}
  }
}
CONFIGURATION
      }

      # Longer than the tasks' and sandboxes' stop_timeout together.
      kill_timeout = "90s"
      user         = "65532:65532"

      resources {
        cpu    = 500
        memory = 512
      }
    }
  }
}
