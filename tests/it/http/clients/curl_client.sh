set -eu
call() { curl --silent --show-error -H "Authorization: Bearer $PIXMILL_API_KEY" "$@"; }
upload=$PIXMILL/api/upload
try() { what=$1; shift; echo "$what: $(call -o answer.json -w '%{http_code}' "$upload" "$@")"; }

try "asking first" -H "Expect: 100-continue" -F images=@cat.jpg
cat dog.png | try "from a pipe" -F "images=@-;filename=piped.png"
try "chunked" -H "Transfer-Encoding: chunked" -F images=@cat.jpg -F images=@dog.png
try "HTTP/1.0" --http1.0 -F images=@cat.jpg
try "HTTP/2" --http2-prior-knowledge -F images=@cat.jpg

cp dog.png 'a"b;c.png'
accepted=$(call --fail-with-body "$upload" -F 'images=@"a\"b;c.png"') || { echo "$accepted"; exit 1; }
while
  status=$(call --fail-with-body "$PIXMILL$(echo "$accepted" | jq -r .links.self)") || { echo "$status"; exit 1; }
  [ "$(echo "$status" | jq -r .status)" = processing ]
do sleep 0.05; done
echo "hostile name: $(echo "$status" | jq -r '.result[0].image')"

try "unknown field" -F image=@cat.jpg | tr '\n' ' '
jq -r .code answer.json
