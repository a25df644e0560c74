http://1.example/ 192.0.2.1 20140216050221 text/html 176
HTTP/1.1 200 OK
Content-Type: text/html

<p>text</p><p>text</p><p>text</p><p>text</p><p>t